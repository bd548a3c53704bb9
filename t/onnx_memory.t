#!/usr/bin/perl
# The memory of a network is known before its first frame: what nn_bytes() says after opening is what the process grows
# by, at most, while opening and running, for the first file of each network.
use strict;
use warnings;
use Matte::Peer;
use Matte::Test;
use Test::More;

my $tolerance = 0.05;    # of what was planned
my @lines;

for my $network (grep { $_->{first} } networks()) {
    my $name = $network->{name};
    my $text = run_ok("$name: runs", root() . '/build/engine/peer/memory', cache() . "/models/$network->{file}",
        @{$network->{arguments}});
    my %got = $text =~ /^(\w+)=(\d+)$/mg;
    my ($planned, $peak) = map { $_ / 2**20 } @got{qw(planned peak)};
    my $said = sprintf '%.1f MiB planned, %.1f taken', $planned, $peak;
    cmp_ok(abs($peak - $planned), '<=', $tolerance * $planned, "$name: $said");
    push @lines, sprintf("nn.%s.planned_mib=%.1f", $name, $planned), sprintf("nn.%s.peak_mib=%.1f", $name, $peak);
}

done_testing();
print map { "$_\n" } @lines;
