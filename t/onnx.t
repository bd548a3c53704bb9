#!/usr/bin/perl
# The networks beside ONNX Runtime: the same files, the same frames, 20 of them with the states fed back where there are
# states; and that set-up gives those very files.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Matte::Peer;
use Matte::Test;
use Test::More;

my $limit = 1e-3;
my %worst;

for my $network (networks()) {
    my $frames = $network->{recurrent} ? 20 : 2;
    for my $run ([noise => 1], [moving => 2]) {
        my ($picture, $threads) = @$run;
        my %got = beside($network, $picture, $frames, $threads);
        cmp_ok($got{max_diff}, '<=', $limit, "$network->{file}, $picture, $frames frames: differs by $got{max_diff}");
        $worst{$network->{name}} = $got{max_diff} if $got{max_diff} > ($worst{$network->{name}} // -1);
    }
}

my $manifest = decode_json(slurp(root() . '/conf/models/rvm.json'));
my $converter = root() . '/cuda_engine/nn/convert/tfjs2onnx.py';
my $rvm = cache() . '/rvm/rvm.json';
for my $file (@{$manifest->{files}}) {
    my $out = workspace() . "/$file->{file}";
    my $text = run_ok("$file->{file}: converts", '/usr/bin/python3', $converter, $rvm, '--size', "$file->{width}x$file->{height}",
        '-o', $out);
    is($text, "$file->{sha256}  $out\n", "$file->{file}: is the manifest's");
}
is(system("/usr/bin/python3 $converter $rvm --size 500x288 -o /dev/null 2>/dev/null") >> 8, 1,
    'a size that is no multiple of 16 is refused');

done_testing();
print "nn.$_.max_diff=$worst{$_}\n" for sort keys %worst;
