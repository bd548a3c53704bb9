# The networks beside ONNX Runtime: the same files, the same frames, 20 of them with the states fed back. Needs
#   MATTE_ORT          a folder with libonnxruntime.so, for build/engine/peer/ort (make -C cuda_engine peer ORT=folder)
#   MATTE_MODEL_FILES  the folder of the networks' files that conf/models/*.json name
# and, to see that set-up gives those very files, MATTE_RVM: the folder of rvm.json and rvm.bin.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP qw(decode_json);
use Matte::Test;
use Test::More;

my ($ort, $files, $rvm) = @ENV{qw(MATTE_ORT MATTE_MODEL_FILES MATTE_RVM)};
plan skip_all => 'MATTE_ORT and MATTE_MODEL_FILES are not set' unless $ort && $files;
my $root = root();
my $peer = "$root/build/engine/peer/ort";
my $limit = 1e-3;
my $frames = 20;

my (%worst, %results);
for my $path (glob "$root/conf/models/*.json") {
    my $manifest = decode_json(slurp($path));
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

SKIP: {
    skip 'MATTE_RVM is not set', 1 unless $rvm;
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
}

done_testing();
print "$_.max_diff=$worst{$_}\n" for sort keys %worst;
print "$_=$results{$_}\n" for sort keys %results;
