#!/usr/bin/perl
# Networks on a card, on the emulated driver of t/gpu and a cuDNN that plans as the real one does and computes on the
# processor: random graphs and whole networks against nn/dnnl, in each mode of the emulation; what a frame queues; every
# call that opens, runs and closes a network failing once; a cuDNN that is not there.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my ($gpu, $engine) = ("$root/build/gpu", "$root/build/engine");
if (!-e "$gpu/libcudnn.so.9") {
    die "the emulated cuDNN is not built, and CI must have it\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit with cuDNN: neither nn/cudnn nor its emulation is built';
}

# Runs a command with the emulated libraries in front of it, and with other settings; its status and what it said. Some
# engines of the real cuDNN want more of a driver than is emulated, say so and are not taken.
sub emulated {
    my ($settings, @command) = @_;
    my %all = (KERNELS => "$gpu/kernels/plain.so", %$settings);
    local %ENV = (LD_LIBRARY_PATH => $gpu, %ENV, map { ("CUEMU_$_" => $all{$_}) } keys %all);
    my ($status, $text) = command('timeout', 240, @command);
    $text =~ s/^Could not load symbol .*\n//mg;
    return ($status, $text);
}

my $test = "$engine/unit/cudnn_net";
my @modes = ({}, { LAZY => 1 }, { PROTECT => 1 }, { LAZY => 1, PROTECT => 1, SM => 90 }, { SM => 75 });
for my $mode (@modes) {
    my $name = join('+', map { lc . ($mode->{$_} > 1 ? $mode->{$_} : '') } sort keys %$mode) || 'plain';
    my ($status, $text) = emulated($mode, $test);
    is($status, 0, "random graphs, $name: as the processor computes them, and nothing is left") or diag $text;
    like($text, qr/^ok 5/m, "random graphs, $name: all of it");
}

# ---- whole networks ------------------------------------------------------------------------------------------------

# The least that all but one in a thousand pixels differ by, of 255; counts are of 1/16.
sub p999 {
    my @off = @_;
    my ($total, $below, $i) = (0, 0, 0);
    $total += $_ for @off;
    $i++ while ($below += $off[$i]) < $total * .999;
    return sprintf '%.2f', ($i + 1) / 16;
}

# U2-Net-p's sums are of hundreds where what decides is near one: what it computes must be rounded to halves at each layer,
# and of its pixels at soft edges one in a thousand shows it by up to 12.
my @networks = (
    { manifest => 'rvm',    file => 'rvm_512x288.onnx',   size => '512:288', frames => 20, limit => 8, launches => 184 },
    { manifest => 'u2netp', file => 'u2netp.onnx',        size => '320:320', frames => 2,  limit => 12, launches => 279 },
    { manifest => 'isnet',  file => 'isnet_768x768.onnx', size => '768:768', frames => 1,  limit => 8, launches => 261 },
);
my (@all, %figures);
for my $n (@networks) {
    my ($name, $rgb) = ($n->{manifest}, "$dir/$n->{manifest}.rgb");
    run_ok("$name: pictures", 'ffmpeg', qw(-v error -nostdin -y -i), cache() . '/clips/webcam.mp4', '-frames:v', $n->{frames},
        '-vf', "scale=$n->{size}", qw(-pix_fmt rgb24 -f rawvideo), $rgb);
    unlink "$dir/trace";
    my ($status, $text) = emulated({ TRACE => "$dir/trace", PROTECT => 1 }, "$engine/gpu/networks",
        "$root/conf/models/$name.json", cache() . '/models', $n->{file}, $n->{frames}, $rgb);
    is($status, 0, "$name: runs on both") or diag $text;
    my @off = split /,/, $text =~ /^off=([\d,]+)$/m ? $1 : '';
    my ($bytes) = $text =~ /^bytes=(\d+)$/m;
    $all[$_] += $off[$_] for 0 .. $#off;
    $figures{$name} = { p999 => @off ? p999(@off) : 255, mib => sprintf '%.0f', $bytes / 2**20 };
    cmp_ok($figures{$name}{p999}, '<=', $n->{limit}, "$name: alpha is the processor's");

    # A frame is launches and nothing else: its picture and its alpha cross for the comparison alone.
    my @frames = split /^htod /m, slurp("$dir/trace");
    my $weights = @frames - 1 - $n->{frames};
    is($weights, 1, "$name: weights are copied to the card once");
    my $last = $frames[-1] =~ s/^launch to_(?:halves|floats) .*\n//mgr;
    my @queued = $last =~ /^((?:launch|cudnn) .*)$/mg;
    is(scalar(() = $last =~ /^dtoh/mg), 1, "$name: alpha comes to the host once a frame");
    cmp_ok(scalar @queued, '<=', $n->{launches}, "$name: no more launches a frame");
    $figures{$name}{launches} = @queued;
}

# ---- what fails ----------------------------------------------------------------------------------------------------

my ($status, $text) = emulated({ COUNTS => "$dir/counts" }, $test, 'once');
is($status, 0, 'one small network: runs') or diag $text;
my %uses = slurp("$dir/counts") =~ /^(\w+) (\d+)$/mg;
cmp_ok(scalar(grep { /^cudnn/ } keys %uses), '>=', 8, 'calls of cuDNN are counted');
my ($faults, $crashes) = (0, 0);
for my $call (sort keys %uses) {
    my %at = map { $_ => 1 } grep { $_ <= $uses{$call} } 1, 2, $uses{$call};
    for my $n (sort { $a <=> $b } keys %at) {
        ($status, $text) = emulated({ FAIL => "$call:$n", LAZY => 1 }, $test, 'once');
        $faults++;
        $crashes++ if $status != 0 && $status != 1 && $status != 77;
        ok(($status == 0 || $status == 1 || $status == 77) && (!$status || $text =~ /^[a-z_]+: .+\.$/m) && $text !~ /leak/,
            "$call fails at its use $n: $status") or diag $text;
    }
}
for my $case (['cuMemAlloc_v2:1', 'out_of_memory: cuMemAlloc gave CUDA_ERROR_OUT_OF_MEMORY'],
    ['cudnnBackendExecute:1', 'device_error: cudnnBackendExecute gave CUDNN_STATUS_INTERNAL_ERROR'],
    ['cudnnBackendExecute:1:719', 'device_lost: cuStreamSynchronize gave CUDA_ERROR_LAUNCH_FAILED'],
    ['cuLaunchKernel:1:719', 'device_lost: \w+: cuLaunchKernel gave CUDA_ERROR_LAUNCH_FAILED'],
    ['cudnnBackendFinalize:1', 'unsupported_model: The node z \(Conv\) has no plan for sm_86: cudnnBackendFinalize']) {
    my ($fault, $wanted) = @$case;
    ($status, $text) = emulated({ FAIL => $fault }, $test, 'once');
    is($status, 1, "$fault: ends it");
    like($text, qr/^$wanted/m, "$fault: says so");
}

# In front of the emulated one.
sub without_cudnn {
    my ($what, $wanted) = @_;
    local $ENV{LD_LIBRARY_PATH} = "$dir:$gpu";
    my ($ended, $said) = emulated({}, $test, 'once');
    is($ended, 1, "$what: a network is not opened");
    like($said, qr/^no_cudnn: $wanted$/m, "$what: says so");
    return;
}
spew("$dir/libcudnn.so.9", 'no library');
without_cudnn('no cuDNN', 'cuDNN cannot be loaded: .*libcudnn\.so\.9: .*\.');
spew("$dir/libcudnn.c", 'int nothing;');
run_ok('another library', 'cc', '-shared', '-fPIC', '-o', "$dir/libcudnn.so.9", "$dir/libcudnn.c");
without_cudnn('another library', 'libcudnn\.so\.9 has no function cudnnGetVersion\.');

done_testing();
for my $n (@networks) {
    my $name = $n->{manifest};
    print "gpu.$name.$_=$figures{$name}{$_}\n" for sort keys %{ $figures{$name} };
}
printf "%s=%s\n", @$_ for ['gpu.alpha_p999', p999(map { $_ // 0 } @all)], ['gpu.network_faults', $faults],
    ['gpu.network_fault_crashes', $crashes];
