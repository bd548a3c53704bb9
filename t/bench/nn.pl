#!/usr/bin/perl
# ./build.sh bench nn: the networks' frames a second over ONNX Runtime's. Both run in one process, frame about, so that
# whatever else the machine does slows both; a ratio is the median of rounds, its spread the least and the greatest.
use strict;
use warnings;
use List::Util qw(max);
use Matte::Peer;

my $rounds = 3;
my %frames = (rvm => 20, nanodet => 20, u2netp => 6, sam_decoder => 6);    # the others take seconds each: 3

$| = 1;
my @lines;
for my $network (grep { $_->{first} } networks()) {
    my ($name, $difference, $plan, $bytes) = ($network->{name}, 0, 0, 0);
    for my $threads (1, 2) {
        my @ratios;
        for (1 .. $rounds) {
            my %got = beside($network, 'moving', $frames{$name} // 3, $threads);
            push @ratios, $got{ort_ms} / $got{ours_ms};
            $difference = max($difference, $got{max_diff});
            $plan = max($plan, $got{plan_ms});
            $bytes = $got{bytes};
        }
        @ratios = sort { $a <=> $b } @ratios;
        printf "%-12s %d thread%s: %.2f times ONNX Runtime (%.2f to %.2f)\n", $name, $threads, $threads > 1 ? 's' : ' ',
            @ratios[$rounds / 2, 0, -1];
        push @lines, sprintf 'nn.%s.%dt.ratio=%.2f', $name, $threads, $ratios[$rounds / 2];
    }
    push @lines, "nn.$name.max_diff=$difference", "nn.$name.plan_ms=$plan", sprintf 'nn.%s.peak_mib=%.1f', $name, $bytes / 2**20;
}
print map { "$_\n" } @lines;
