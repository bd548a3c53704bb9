#!/usr/bin/perl
# Every convolution of the installed networks, for each card of t/data/cards: the real cuDNN makes a plan of it, with
# bias, residual and ReLU inside, though no card is there. That it finalizes is what is shown: nothing is computed here.
use strict;
use warnings;
use Matte::Peer;
use Matte::Test;
use Test::More;

my $cuda = $ENV{CUDA_HOME} // '/usr/local/cuda';
if (!-e "$cuda/include/cudnn_backend.h") {
    die "no cuDNN in $cuda, and CI must have it\n" if $ENV{CI};
    plan skip_all => "no cuDNN in $cuda";
}

my ($root, $work) = (root(), workspace());
my $plans = "$root/build/engine/peer/plans";
my @cards = sort { ($a =~ /(\d+)/g)[-1] <=> ($b =~ /(\d+)/g)[-1] } glob "$root/t/data/cards/*.json";
# The files installed, with the sizes of inputs that they leave open.
my @paths;
for my $network (grep { -e cache() . "/models/$_->{file}" } networks()) {
    my @inputs = grep { /:/ } @{ $network->{arguments} };
    s/~.*// for @inputs;
    push @paths, join '@', cache() . "/models/$network->{file}", @inputs;
}
my %sum = (plans => 0, refused => 0, fused => 0);
my @lines;

is(scalar @cards, 6, 'six cards');
ok((grep { m{/rvm_512x288\.onnx$} } @paths), 'RVM of 512x288 is among the networks');
ok((grep { m{/sam_encoder\.onnx} } @paths), 'and so is the encoder of SAM');
for my $card (@cards) {
    my ($name) = $card =~ /(sm_\d+)/;
    my $text = run_ok("$name: planned", $plans, $card, @paths);
    my %got = $text =~ /^(\w+)=(\d+)$/mg;
    cmp_ok($got{shapes}, '>=', 40, "$name: there are convolutions");
    is("sm_$got{sm}", $name, "$name: is what was planned for");
    is($got{plans}, $got{shapes}, "$name: each has a plan") or diag $text;
    is($got{refused}, 0, "$name: none is refused");
    is($got{fused}, $got{extras}, "$name: bias, residual and ReLU are inside");
    $sum{$_} += $got{$_} for keys %sum;
    push @lines, map { "gpu.plans.$name.$_=$got{$_}" } qw(layers shapes plans refused fused workspace);
}

# The check can fail: with one row of padding too many every convolution is refused, in cuDNN's words.
my $text = run_ok('wrong sizes: planned', $plans, '-p', $cards[0], $paths[0]);
my %got = $text =~ /^(\w+)=(\d+)$/mg;
is($got{refused}, $got{shapes}, 'wrong sizes: all are refused');
is($got{plans}, 0, 'wrong sizes: none is planned');
my @sentences = $text =~ /^The node \S+ \(Conv\) has no plan for sm_\d+: .*BAD_PARAM: .*is_valid_spatial_dim/mg;
is(scalar @sentences, $got{shapes}, "wrong sizes: refused with the node's name and cuDNN's text");

# What is no cuDNN that can be used is said: the status is 1 and the sentence this one.
sub is_refused {
    my ($what, $library, @wanted) = @_;
    spew("$work/libcudnn.c", $library);
    system('cc', '-shared', '-fPIC', '-o', "$work/libcudnn.so.9", "$work/libcudnn.c") == 0 or die "cc: $?";
    local $ENV{LD_LIBRARY_PATH} = $work;
    my $said = `$plans $cards[0] $paths[0] 2>&1`;
    is($? >> 8, 1, "$what: fails");
    like($said, $_, "$what: says so") for @wanted;
    return;
}
my @calls = slurp("$root/cuda_engine/nn/cudnn/library.h") =~ /\bCALL\((cudnn\w+)\)/g;
cmp_ok(scalar @calls, '>=', 8, 'the calls of the library are known');
for my $missing (@calls) {
    my @others = grep { $_ ne $missing } @calls;
    is_refused("a library without $missing", join('', map { "long $_(void) { return 0; }\n" } @others),
        qr/^plans: libcudnn\.so\.9 has no function $missing\.$/);
}
is_refused('an old library', join('', map { "long $_(void) { return 90000; }\n" } @calls),
    qr/^plans: libcudnn\.so\.9 is of version 90000; \d+ or later is needed\.$/);
spew("$work/libcudnn.so.9", 'no library');
{
    local $ENV{LD_LIBRARY_PATH} = $work;
    my $said = `$plans $cards[0] $paths[0] 2>&1`;
    is($? >> 8, 1, 'no library: fails');
    like($said, qr/^plans: cuDNN cannot be loaded: .*libcudnn\.so\.9: .*\.$/, 'no library: says so');
}

done_testing();
print "$_\n" for @lines, "gpu.plans=$sum{plans}", "gpu.plans_refused=$sum{refused}", "gpu.plans_fused=$sum{fused}";
