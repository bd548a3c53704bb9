#!/usr/bin/perl
# What a prompt names, on a card: the emulated driver and cuDNN of t/gpu. A clip through `matte --model pro` with its real
# networks against the processor; what crosses between card and host for it; cards that do not run them; and on networks that
# the test makes, each use of cuDNN and of what brings pictures and answers failing.
use strict;
use warnings;
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my ($gpu, $engine) = ("$root/build/gpu", "$root/build/engine");
if (!-e "$gpu/libcudnn.so.9") {
    die "the emulated cuDNN is not built, and CI must have it\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit with cuDNN: neither nn/cudnn nor its emulation is built';
}
$ENV{MATTE_MODELS} //= "$root/conf/models";
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';

my $libraries = $gpu;

# A command with the emulated libraries in front of it, running; and its status and what it said.
sub started {
    my ($settings, @command) = @_;
    my %all = (KERNELS => "$gpu/kernels/plain.so", %$settings);
    local %ENV = (%ENV, LD_LIBRARY_PATH => $libraries, map { ("CUEMU_$_" => $all{$_}) } keys %all);
    open my $said, '-|', 'sh', '-c', 'exec timeout 600 "$@" 2>&1', 'sh', @command or die "fork: $!";
    return $said;
}

sub ended {
    my ($said) = @_;
    my $text = do { local $/; <$said> } // '';
    close $said;
    $text =~ s/^Could not load symbol .*\n//mg;
    return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $text);
}

sub emulated { return ended(started(@_)) }

# ---- clips, with the networks that serve -----------------------------------------------------------------------------

my $frames = 2;    # the least that has a past
my $clip = "$dir/clip.mp4";
run_ok('a clip', qw(ffmpeg -hide_banner -v error -nostdin -y -i), cache() . '/clips/webcam.mp4', '-frames:v', $frames,
    qw(-an -c copy), $clip);

sub matte {
    my ($device, $out, %settings) = @_;
    return started(\%settings, "$engine/matte", '--device', $device, qw(--threads 2 --model pro --prompt), 'the person', $clip, $out);
}

# Alpha of every pixel, in codes.
sub alpha {
    my ($file) = @_;
    return unpack 'C*', run_ok("alpha of $file", qw(ffmpeg -hide_banner -v error -nostdin -i), $file,
        qw(-vf alphaextract -pix_fmt gray -f rawvideo -));
}

my ($status, $text) = ended(matte('cpu', "$dir/processor.mov"));
is($status, 0, 'by the processor') or diag $text;
my @processor = alpha("$dir/processor.mov");

# The encoder takes an emulated card half a minute, in which the rest is done.
my $by_card = matte('cuda:0', "$dir/card.mov", LAZY => 1, PROTECT => 1, TRACE => "$dir/trace");

# ---- cards that do not run them --------------------------------------------------------------------------------------

# Without cuDNN the processor runs the networks, from what the card sampled: the two keep the same, to the bit.
mkdir "$dir/bare";
symlink "$gpu/$_", "$dir/bare/$_" for qw(libcuda.so.1 libcuemu.so libnvcuvid.so.1 libnvidia-encode.so.1);
spew("$dir/bare/libcudnn.so.9", 'no library');
$libraries = "$dir/bare";
($status, $text) = ended(matte('cuda:0', "$dir/bare.mov", LAZY => 1, PROTECT => 1));
$libraries = $gpu;
is($status, 0, 'no cuDNN: made') or diag $text;
like($text, qr/"event":"network_on_processor","network":"pro","reason":"cuDNN cannot be loaded: /, 'no cuDNN: the log says so');
ok("@{[alpha(qq{$dir/bare.mov})]}" eq "@processor", 'no cuDNN: as the processor makes it');

# A card without room for the networks: the first block of memory is a network's.
($status, $text) = ended(matte('auto', "$dir/auto.mov", FAIL => 'cuMemAlloc_v2:1'));
is($status, 0, 'auto, no room: made') or diag $text;
like($text, qr/^matte: warning: cuMemAlloc gave CUDA_ERROR_OUT_OF_MEMORY.* \(processor_used\)$/m, 'auto, no room: with a warning');
ok("@{[alpha(qq{$dir/auto.mov})]}" eq "@processor", 'auto, no room: as the processor makes it');
($status, $text) = ended(matte('cuda:0', "$dir/none.mov", FAIL => 'cuMemAlloc_v2:1'));
is($status, 1, 'cuda:0, no room: fails');
like($text, qr/^matte: .+: cuMemAlloc gave CUDA_ERROR_OUT_OF_MEMORY.* \(out_of_memory\)$/m, 'cuda:0, no room: says why');

# ---- small networks, in each mode of the emulation -------------------------------------------------------------------

for my $mode ({}, { LAZY => 1, PROTECT => 1 }, { LAZY => 1, SM => 75 }) {
    my $name = join('+', map { lc . ($mode->{$_} > 1 ? $mode->{$_} : '') } sort keys %$mode) || 'plain';
    ($status, $text) = emulated($mode, "$engine/unit/cuda_pro");
    is($status, 0, "$name: a card keeps what the processor does, and nothing is left") or diag $text;
    like($text, qr/^ok 1/m, "$name: all of it");
}
($status, $text) = emulated({ LAZY => 1, PROTECT => 1 }, "$engine/unit/pro_segment", 'cuda:0');
is($status, 0, 'what is in a box, on a card') or diag $text;
like($text, qr/^ok 7/m, 'all of it');

# ---- what fails ------------------------------------------------------------------------------------------------------

# What cuDNN refuses when the networks are opened the processor does instead.
($status, $text) = emulated({ COUNTS => "$dir/counts" }, "$engine/unit/cuda_pro", 'once');
is($status, 0, 'a few frames: run') or diag $text;
my %uses = slurp("$dir/counts") =~ /^(\w+) (\d+)$/mg;
my @calls = sort grep { /^cudnn|^cu(?:Memcpy|LaunchKernel|MemAlloc)/ } keys %uses;
cmp_ok(scalar @calls, '>=', 13, 'calls are counted');
my ($faults, $crashes) = (0, 0);
for my $call (@calls) {
    my %at = map { $_ => 1 } grep { $_ <= $uses{$call} } 1, 2, $uses{$call};
    for my $n (sort { $a <=> $b } keys %at) {
        ($status, $text) = emulated({ FAIL => "$call:$n", LAZY => 1 }, "$engine/unit/cuda_pro", 'once');
        $faults++;
        $crashes++ if $status != 0 && $status != 1;
        ok(($status == 0 || $status == 1) && (!$status || $text =~ /^[a-z_]+: .+\.$/m) && $text !~ /leak/,
            "$call fails at its use $n: $status") or diag $text;
    }
}

# ---- the clip by the card ---------------------------------------------------------------------------------------------

($status, $text) = ended($by_card);
is($status, 0, 'by the card') or diag $text;
unlike($text, qr/network_on_processor/, 'by the card: all of its networks');
like($text, qr/^encode_runs=1$/m, 'by the card: the encoder looked once');

my @card = alpha("$dir/card.mov");
my ($both, $either, @off) = (0, 0, (0) x 256);
for my $i (0 .. $#processor) {
    my @in = map { $_ > 127 } $processor[$i], $card[$i];
    $both += $in[0] && $in[1];
    $either += $in[0] || $in[1];
    $off[abs $processor[$i] - $card[$i]]++;
}
my ($p999, $below) = (0, $off[0]);
$below += $off[++$p999] while $below < .999 * @processor;
my $iou = $both / ($either || 1);
is(scalar @card, scalar @processor, 'every pixel of both');
cmp_ok($either, '>', .1 * @processor, 'somebody is kept');
cmp_ok($iou, '>=', .999, 'what is kept is what the processor keeps');
cmp_ok($p999, '<=', 4, 'alpha is the processor\'s on 99.9 % of pixels');

# From the first frame on. A copy of one row is of networks, else of a frame.
my $trace = slurp("$dir/trace");
my ($from) = $trace =~ /^(launch sample_picture .*)/ms;
my (%crossed, $most);
for my $copy ($from =~ /^((?:htod|dtoh) .*)$/mg) {
    my ($way, $width, $height) = $copy =~ /^(\w+) (\d+)x(\d+)/;
    my $kind = $height > 1 ? "$way frame" : $way;
    $crossed{$kind} += $width * $height;
    $most = $width if $kind eq 'dtoh' && $width > ($most // 0);
}
# A mask has 256x192 samples here, the detector's answer is of 52x52, 26x26 and 13x13 cells with 80 scores and 44 bins each;
# of alpha, 1024x768, all pixels go up.
my $small = 256 * 192 * 3 * 4;
my $answer = (52 * 52 + 26 * 26 + 13 * 13) * (80 + 44) * 4;
my $mask = 256 * 256 * 4;
my $up = 1024 * 768 * 4;
ok(!$crossed{'htod frame'}, 'no frame is copied to the card');
is($crossed{'dtoh frame'}, $frames * 400 * 300 * (1 + .25 + .25 + 1), 'each plane of a frame comes out once, composed');
cmp_ok($crossed{dtoh}, '<=', $frames * $small + $answer + $mask + 1024 * 1024,
    'what comes down is a small picture a frame, the detector\'s answer, a mask, and what the decoder has the host compute');
cmp_ok($most, '<=', 80 * 52 * 52 * 4, 'and nothing as large as a picture');
cmp_ok($crossed{htod}, '<=', $frames * $up + 2 * $mask + 1024 * 1024, 'what goes up is alpha');
like($from, qr/^dtod 512x4096$/m, 'what the encoder makes stays on the card');

my ($need) = $text =~ /^card_mib=(\d+)$/m;
my ($peak) = $trace =~ /^peak (\d+)$/m;
my $driver = 384;
$peak /= 1 << 20;
cmp_ok($peak, '<=', $need - $driver, sprintf 'its memory, %.0f MiB, is not above what was known', $peak);
cmp_ok($peak, '>=', .4 * ($need - $driver), "nor far below ($need with the driver's $driver)");

done_testing();
printf "%s=%s\n", @$_ for ['gpu.pro.iou', sprintf '%.5f', $iou], ['gpu.pro.p999', $p999], ['gpu.pro.down_bytes', $crossed{dtoh}],
    ['gpu.pro.up_bytes', $crossed{htod}], ['gpu.pro.frames', $frames], ['gpu.faults', $faults], ['gpu.fault_crashes', $crashes];
