#!/usr/bin/perl
# The networks beside ONNX Runtime: the same files, the same frames, 20 of them with the states fed back; and that set-up
# gives those very files.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Matte::Test;
use Test::More;

my ($ort, $files, $rvm) = map { cache() . "/$_" } qw(onnxruntime models rvm);
my $root = root();
my $peer = "$root/build/engine/peer/ort";
my $limit = 1e-3;
my $frames = 20;

my (%worst, %results);
for my $path (glob "$root/conf/models/*.json") {
    my $manifest = decode_json(slurp($path));
    next unless @{ $manifest->{serves} };    # no job runs it yet
    my $name = $manifest->{name};
    my @states = map { "$_->[0]=$_->[1]" } @{ $manifest->{states} // [] };
    for my $file (@{ $manifest->{files} }) {
        for my $picture (qw(noise moving)) {
            my $threads = $picture eq 'noise' ? 1 : 2;
            my $text = run_ok("$file->{file}, $picture, $threads threads: runs",
                $peer, $ort, "$files/$file->{file}", $manifest->{input}, $picture, $frames, $threads, @states);
            my %got = $text =~ /^(\w+)=(\S+)$/mg;
            my $difference = $got{max_diff} // 'inf';
            cmp_ok($difference, '<=', $limit, "$file->{file}, $picture: differs by at most $limit");
            $worst{$name} = $difference if $difference > ($worst{$name} // 0);
            next if $file != $manifest->{files}[0] || !$got{ours_ms};
            $results{"$name.${threads}t.ours_ms"} = $got{ours_ms};
            $results{"$name.${threads}t.ort_ms"} = $got{ort_ms};
            $results{"$name.${threads}t.ratio"} = sprintf '%.2f', $got{ort_ms} / $got{ours_ms};
            $results{"$name.mib"} = sprintf '%.1f', $got{bytes} / 2**20;
        }
    }
}

my $manifest = decode_json(slurp("$root/conf/models/rvm.json"));
my $converter = "$root/cuda_engine/nn/convert/tfjs2onnx.py";
for my $file (@{ $manifest->{files} }) {
    my $out = workspace() . "/$file->{file}";
    my $text = run_ok("$file->{file}: converts", '/usr/bin/python3', $converter, "$rvm/rvm.json",
        '--size', "$file->{width}x$file->{height}", '-o', $out);
    is($text, "$file->{sha256}  $out\n", "$file->{file}: is the manifest's");
}
is(system("/usr/bin/python3 $converter $rvm/rvm.json --size 500x288 -o /dev/null 2>/dev/null") >> 8, 1,
    'a size that is no multiple of 16 is refused');

done_testing();
print "$_.max_diff=$worst{$_}\n" for sort keys %worst;
print "$_=$results{$_}\n" for sort keys %results;
