#!/usr/bin/perl
# The path of frames over a card, on the emulated drivers of t/gpu: every refusal to start, frames and streams in each mode
# of the emulation, a clip from NVDEC to NVENC without a copy to the host, what cards do not decode or encode, faults
# planted to be seen, and each call of the libraries failing once.
#   MATTE_BIN   the program (build/engine/matte)
use strict;
use warnings;
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my ($gpu, $engine) = ("$root/build/gpu", "$root/build/engine");
my $matte = $ENV{MATTE_BIN} // "$engine/matte";
if (!-e "$gpu/libcuda.so.1") {
    die "the emulated drivers are not built, and CI must have them\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit: neither device/cuda nor the emulated drivers are built';
}

# Runs a command with the emulated libraries in front of it, and with other settings; its status and what it said.
my $libraries = $gpu;

sub emulated {
    my ($settings, @command) = @_;
    local %ENV = (%ENV, LD_LIBRARY_PATH => $libraries, map { ("CUEMU_$_" => $settings->{$_}) } keys %$settings);
    return command('timeout', 60, @command);
}

my @modes = ({}, { LAZY => 1 }, { PROTECT => 1 }, { LAZY => 1, PROTECT => 1 });
sub named { my ($mode) = @_; return join('+', map { lc } sort keys %$mode) || 'plain' }

# ---- what is found, and why not ------------------------------------------------------------------------------------

sub is_refused {
    my ($what, $library, $settings, $device, $wanted) = @_;
    local %ENV = (%ENV, LD_LIBRARY_PATH => $library, map { ("CUEMU_$_" => $settings->{$_}) } keys %$settings);
    my ($status, $text) = command($matte, 'device', '--device', $device);
    is($status, 1, "$what: there is no device");
    like($text, qr/^matte: $wanted \(device_unavailable\)$/m, "$what: says so") or diag $text;
    ($status, $text) = command($matte, 'device');
    like("$status $text", qr/^0 The processor does all the work\. $wanted\n\z/, "$what: the processor does the work, and why")
        if $device eq 'cuda';
    return;
}

my $cards = { CARDS => 2 };
my ($status, $text) = emulated($cards, $matte, 'device', '--device', 'cuda:1');
is($status, 0, 'the second card is found');
is($text, "cuda:1 is Emulated card, compute capability 8.6, with 8192 of 8192 MiB free.\n", 'and described');
($status, $text) = emulated({}, $matte, 'device', '--device', 'cpu');
is($text, "The processor does all the work.\n", 'a card is left alone where it is not wanted');

is_refused('no such card', $gpu, $cards, 'cuda:2', 'There is no cuda:2: the machine has 2 CUDA cards\.');
is_refused('no card', $gpu, { CARDS => 0 }, 'cuda', 'There is a CUDA driver here, but no card\.');
is_refused('old driver', $gpu, { DRIVER => 12040 }, 'cuda',
    'The CUDA driver is too old: it is for CUDA 12\.4 and 13\.0 is needed\.');
is_refused('old card', $gpu, { SM => 70 }, 'cuda',
    'cuda:0 \(Emulated card\) is too old: it has compute capability 7\.0 and 7\.5 is needed\.');
is_refused('small card', $gpu, { MEM_MB => 512 }, 'cuda',
    'cuda:0 \(Emulated card\) is too small: 512 of its 512 MiB are free and 1024 MiB are needed\.');
is_refused('driver that fails', $gpu, { FAIL => 'cuInit' }, 'cuda',
    'The CUDA driver does not start: cuInit gave CUDA_ERROR_UNKNOWN: unknown error\.');

# A driver that lacks a function, whichever. The names are those that <cuda.h> makes of what the table says.
my @calls = slurp("$root/cuda_engine/device/cuda/driver.h") =~ /\bCALL\((cu\w+)\)/g;
cmp_ok(scalar @calls, '>=', 25, 'the calls of the driver are known');
spew("$dir/names.c", join '', "#include <cuda.h>\n", map { "want $_\n" } @calls);
my @symbols = run_ok('the names of the calls', 'cc', '-E', '-P', '-isystem', ($ENV{CUDA_HOME} // '/usr/local/cuda') . '/include',
    "$dir/names.c") =~ /^want\s+(\w+)$/mg;
is(scalar @symbols, scalar @calls, 'each has a name');
for my $missing (@symbols) {
    spew("$dir/libcuda.c", join '', map { "int $_(void) { return 0; }\n" } grep { $_ ne $missing } @symbols);
    run_ok("a driver without $missing", 'cc', '-shared', '-fPIC', '-o', "$dir/libcuda.so.1", "$dir/libcuda.c");
    is_refused("a driver without $missing", $dir, {}, 'cuda:0',
        "The CUDA driver is too old: libcuda\\.so\\.1 has no $missing\\.");
}
spew("$dir/libcuda.so.1", 'no library');
is_refused('no driver', $dir, {}, 'cuda', 'There is no CUDA driver here: .*libcuda\.so\.1: .*\.');

# What was measured on an emulated card would say nothing.
($status, $text) = emulated({}, "$root/build.sh", 'gpu-check');
is($status, 1, 'gpu-check on an emulated card: refuses');
is($text, "build.sh: this card is emulated: its speed says nothing\n", 'gpu-check on an emulated card: says so, and nothing else');

# ---- frames and streams --------------------------------------------------------------------------------------------

for my $mode (@modes) {
    ($status, $text) = emulated($mode, "$engine/unit/cuda_frames");
    is($status, 0, 'frames, ' . named($mode)) or diag $text;
    like($text, qr/^ok 5/m, 'all of it');
}

# the solver, whose decisions must be the processor's
for my $mode ($modes[0], $modes[3]) {
    ($status, $text) = emulated({ %$mode, KERNELS => "$gpu/kernels/plain.so" }, "$engine/unit/cuda_solver");
    is($status, 0, 'solver, ' . named($mode)) or diag $text;
    like($text, qr/^ok 1/m, 'ran');
}

# ---- a clip --------------------------------------------------------------------------------------------------------

my $frames = 20;
my $plain = "$gpu/kernels/plain.so";    # kernels, for the processor

sub ffmpeg {
    my (@args) = @_;
    run_ok("made $args[-1]", 'ffmpeg', qw(-hide_banner -v error -nostdin -y), @args);
    return $args[-1];
}

sub pictures {
    my ($file, @filter) = @_;
    my $text = run_ok("decoded $file", 'ffmpeg', qw(-hide_banner -v error -nostdin -i), $file, @filter,
        qw(-an -pix_fmt yuv420p -f framemd5 -));
    return join ' ', map { (split /,\s*/)[-1] } grep { !/^#/ } split /\n/, $text;
}

# Through the card; what was printed, how it ended, and the copies between host and card: "htod pinned" => how many.
sub clip {
    my ($settings, $encoder, $in) = @_;
    unlink "$dir/trace", "$dir/out.mp4";
    my ($ended, $said) = emulated({ KERNELS => $plain, TRACE => "$dir/trace", %$settings }, "$engine/gpu/clip", $encoder, $in, "$dir/out.mp4");
    my %copies;
    for my $line (-e "$dir/trace" ? split /\n/, slurp("$dir/trace") : ()) {
        my ($what, undef, $memory) = split / /, $line;
        $copies{ defined $memory ? "$what $memory" : $what }++;
    }
    return ($ended, $said, \%copies);
}

sub psnr {
    my ($file, $with) = @_;
    my ($status, $text) = command(qw(ffmpeg -hide_banner -nostdin -i), $file, '-i', $with,
        qw(-lavfi [0]format=yuv420p[a];[1]format=yuv420p[b];[a][b]psnr -an -f null -));
    return $text =~ /average:(inf|[\d.]+)/ ? $1 eq 'inf' ? 99 : $1 : 0;
}

my $webcam = ffmpeg('-i', cache() . '/clips/webcam.mp4', '-frames:v', $frames, qw(-an -c copy), "$dir/webcam.mp4");
my $bframes = ffmpeg(qw(-f lavfi -i testsrc2=size=642x358:rate=10), '-frames:v', $frames, qw(-c:v libx264 -bf 3 -pix_fmt yuv420p
    -g 7), "$dir/b.mp4");
my $crossings = 0;

# What NVDEC decodes: the source, the modes of emulation. Ten bits become eight as libswscale makes them, which is how
# ffmpeg is asked for pictures.
my @test = (qw(-f lavfi -i testsrc2=size=324x184:rate=10 -frames:v), $frames);
my @x265 = (qw(-vf crop=322:182 -c:v libx265 -preset fast -x265-params log-level=none:bframes=3:keyint=9));
my @vp9 = (qw(-vf crop=322:182 -c:v libvpx-vp9 -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 8 -b:v 300k));
my @decoded = (
    [$webcam, @modes],
    [$bframes, @modes],
    [ffmpeg(@test, @x265, qw(-pix_fmt yuv420p), "$dir/hevc.mp4"), @modes[0, 3]],
    [ffmpeg(@test, @x265, qw(-pix_fmt yuv420p10le), "$dir/hevc10.mp4"), @modes],
    [ffmpeg(@test, @vp9, qw(-pix_fmt yuv420p), "$dir/vp9.webm"), @modes[0, 3]],
    [ffmpeg(@test, @vp9, qw(-pix_fmt yuv420p10le), "$dir/vp9-10.webm"), @modes[0, 3]],
);
for my $case (@decoded) {
    my ($in, @in_modes) = @$case;
    my $name = $in =~ s{.*/}{}r;
    my $wanted = pictures($in);
    for my $mode (@in_modes) {
        my ($ended, $said, $copies) = clip({ %$mode, NVENC_LOSSLESS => 1 }, 'libx264', $in);
        my $what = "$name, " . named($mode);
        is($ended, 0, "$what: decoded and encoded") or diag $said;
        like($said, qr/^frames=$frames\nnvenc=1\n\z/m, "$what: every frame, by NVENC, and no figure of speed");
        cmp_ok($copies->{nvdec}, '>=', $frames, "$what: NVDEC made every frame");    # VP9's are not all shown
        my $crossed = 0;
        /^(?:htod|dtoh)/ and $crossed += $copies->{$_} for keys %$copies;
        is($crossed, 0, "$what: none was copied from or to the host");
        $crossings += $crossed;
        is(pictures("$dir/out.mp4"), $wanted, "$what: every picture is the source's, bit for bit");
    }
}

my ($ended, $said, $copies) = clip({ NVENC_LOSSLESS => 1 }, 'libx265', $bframes);
is($ended, 0, 'HEVC: encoded') or diag $said;
is(pictures("$dir/out.mp4"), pictures($bframes), 'HEVC: every picture is the source\'s');
is(run_ok('HEVC: looked at', qw(ffprobe -v error -show_entries stream=codec_name -of csv=p=0), "$dir/out.mp4"), "hevc\n",
    'HEVC: is what it is');

($ended, $said, $copies) = clip({}, 'libx264', $webcam);
is($ended, 0, 'lossy: encoded') or diag $said;
cmp_ok(psnr("$dir/out.mp4", $webcam), '>=', 42, 'lossy: near the source');

# What the card does not encode, the processor does: fetched once through pinned memory.
for my $case (['no NVENC on the card', 0, qr/Function not implemented|Operation not permitted|No such device|not supported/i],
    ['no session free', '-1', qr/memory/]) {
    my ($what, $sessions) = @$case;
    ($ended, $said, $copies) = clip({ NVENC_SESSIONS => $sessions }, 'libx264', $webcam);
    is($ended, 0, "$what: encoded") or diag $said;
    like($said, qr/^warning: The (?:card did not encode the video|video could not be encoded): .+\.\n/, "$what: warned");
    like($said, qr/^frames=$frames\nnvenc=0$/m, "$what: by the processor");
    is($copies->{'dtoh pinned'}, 2 * $frames, "$what: both planes of every frame came to pinned memory");
    ok(!$copies->{'dtoh pageable'}, "$what: and none to other");
    cmp_ok(psnr("$dir/out.mp4", $webcam), '>=', 38, "$what: near the source");
}
($ended, $said) = clip({ NVENC_VERSION => 0xa0 }, 'libx264', $webcam);
like($said, qr/^warning: .*\nframes=$frames\nnvenc=0$/s, 'a driver too old for this NVENC: by the processor');

# What the card does not decode, or not upright and in the right colours, the processor does.
my @small = (qw(-f lavfi -i testsrc2=size=320x180:rate=10), '-frames:v', $frames);
my @large = (qw(-f lavfi -i testsrc2=size=4112x64:rate=10), '-frames:v', $frames);
my @uploaded = (
    ['10 bits of H.264', ffmpeg(@small, qw(-c:v libx264 -pix_fmt yuv420p10le), "$dir/10bit.mp4")],
    ['4:2:2', ffmpeg(@small, qw(-c:v libx264 -pix_fmt yuv422p), "$dir/422.mp4")],
    ['HEVC on a card without', "$dir/hevc.mp4", NVDEC_SIDE => 48],
    ['10 bits on a card without', "$dir/hevc10.mp4", NVDEC_DEPTH => 8],
    ['H.264 wider than 4096', ffmpeg(@large, qw(-c:v libx264 -preset ultrafast -pix_fmt yuv420p), "$dir/large.mp4"),
        NVENC_SESSIONS => 0],
    ['MPEG-4', ffmpeg(@small, qw(-c:v mpeg4 -q:v 2), "$dir/mpeg4.mp4")],
    ['full range', ffmpeg(@small, qw(-c:v libx264 -pix_fmt yuvj420p), "$dir/full.mp4")],
);
for my $case (@uploaded) {
    my ($what, $in, %card) = @$case;
    for my $mode ($modes[0], $modes[3]) {
        ($ended, $said, $copies) = clip({ %$mode, %card, NVENC_LOSSLESS => 1 }, 'libx264', $in);
        is($ended, 0, "$what, " . named($mode) . ': went through') or diag $said;
        like($said, qr/^frames=$frames$/m, "$what: every frame");
        ok(!$copies->{nvdec}, "$what: not by NVDEC");
        is($copies->{'htod pinned'}, 2 * $frames, "$what: each was copied to the card from pinned memory");
        ok(!$copies->{'htod pageable'}, "$what: and none from other");
        cmp_ok(psnr("$dir/out.mp4", $in), '>=', 38, "$what: is the source");
    }
}

# Decoded by NVDEC, but for the processor to finish: fields, and another size in the middle.
my $fields = ffmpeg(@small, qw(-vf tinterlace=interleave_top -c:v libx264 -flags +ildct+ilme -x264opts tff=1), "$dir/fields.mp4");
ffmpeg(@small, qw(-c:v libx264 -pix_fmt yuv420p -bsf:v h264_mp4toannexb), "$dir/1.ts");
ffmpeg(qw(-f lavfi -i testsrc2=size=240x320:rate=10), '-frames:v', $frames, qw(-output_ts_offset 10 -c:v libx264 -pix_fmt yuv420p),
    "$dir/2.ts");
spew("$dir/sizes.ts", slurp("$dir/1.ts") . slurp("$dir/2.ts"));
for my $case ([$fields, $frames], ["$dir/sizes.ts", 2 * $frames]) {
    my ($in, $count) = @$case;
    my $what = $in =~ s{.*/}{}r;
    ($ended, $said, $copies) = clip({ LAZY => 1, PROTECT => 1, NVENC_LOSSLESS => 1 }, 'libx264', $in);
    is($ended, 0, "$what: went through") or diag $said;
    like($said, qr/^frames=$count$/m, "$what: every frame");
    cmp_ok($copies->{nvdec} // 0, '>=', $count, "$what: by NVDEC");
    ok($copies->{'dtoh pageable'}, "$what: the processor had a part in it");
    like(run_ok("$what: looked at", qw(ffprobe -v error -of csv=p=0 -show_entries), 'stream=width,height',
        "$dir/out.mp4"),
        qr/^320,180$/, "$what: of the first size");
}

# A context that is lost is another error than a call that failed.
($ended, $said) = clip({ FAIL => 'cuEventRecord:5:719' }, 'libx264', $webcam);
is($ended, 1, 'a lost context ends the job');
like($said, qr/^device_lost: cu\w+ gave CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure\.$/m, 'with its own error');

# ---- planted faults ------------------------------------------------------------------------------------------------

my ($leaked, $seen, $killed) = (86, 3, 128 + 11);
my %all = %{ $modes[3] };
my @planted = (
    ['host-read', { PROTECT => 1 }, $killed, qr//],
    ['no-wait', { LAZY => 1 }, $seen, qr//],
    ['copy-too-much', {}, $seen, qr/destination of a copy: 257 bytes .* past the end of an allocation/],
    ['free-twice', {}, $seen, qr/free of .*, which is no allocation/],
    ['leak-memory', {}, $leaked, qr/leak: 256 bytes of device memory/],
    ['leak-event', {}, $leaked, qr/leak: 1 events/],
    ['no-context', {}, $seen, qr/CUDA_ERROR_INVALID_CONTEXT/],
);
my $caught = 0;
for my $case (@planted) {
    my ($fault, $mode, $wanted, $pattern) = @$case;
    ($status, $text) = emulated($mode, "$engine/gpu/planted", $fault);
    $caught++ if is($status, $wanted, "planted $fault: is seen") & like($text, $pattern, "planted $fault: and named");
}
is((emulated(\%all, "$engine/gpu/planted", 'none'))[0], 0, 'nothing planted, nothing seen');

# ---- every call fails once -----------------------------------------------------------------------------------------

# The 1st, the 2nd and the last use of each call that a clip makes. It goes on without what failed, says so in a sentence
# with a code, or does not start; it gives back all that it took.
my $short = ffmpeg(qw(-f lavfi -i testsrc2=size=322x182:rate=10 -frames:v 8 -c:v libx264 -bf 3 -pix_fmt yuv420p),
    "$dir/short.mp4");
my ($faults, $crashes) = (0, 0);
for my $sessions (8, 0) {    # encoded by NVENC, and by the processor
    ($ended, $said) = clip({ COUNTS => "$dir/counts", NVENC_SESSIONS => $sessions }, 'libx264', $short);
    is($ended, 0, "$sessions sessions: goes through") or diag $said;
    my %uses = slurp("$dir/counts") =~ /^(\w+) (\d+)$/mg;
    cmp_ok(scalar keys %uses, '>=', 25, "$sessions sessions: calls were counted");
    for my $call (sort keys %uses) {
        my %at = map { $_ => 1 } grep { $_ <= $uses{$call} } 1, 2, $uses{$call};
        for my $n (sort { $a <=> $b } keys %at) {
            ($ended, $said) = clip({ FAIL => "$call:$n", NVENC_SESSIONS => $sessions }, 'libx264', $short);
            $faults++;
            $crashes++ if $ended != 0 && $ended != 1 && $ended != 77;
            my $wanted = $ended ? qr/^[a-z_]+: .+\.$/m : qr/^frames=8$/m;
            ok(($ended == 0 || $ended == 1 || $ended == 77) && $said =~ $wanted && $said !~ /leak|mapped/,
                "$call fails at its use $n: $ended") or diag $said;
        }
    }
}

# ---- whole jobs ----------------------------------------------------------------------------------------------------

# matte from file to file, its kernels on the processor. Its options, how it ended, what it said, and the copies between
# host and card from the first frame on: what comes before are weights and tables.
$ENV{MATTE_MODELS} //= "$root/conf/models";
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';

sub job {
    my ($settings, $device, $in, $out, @options) = @_;
    unlink "$dir/trace", $out;
    my ($ended, $said) = emulated({ KERNELS => $plain, TRACE => "$dir/trace", %$settings }, $matte, '--device', $device,
        '--threads', 2, @options, $in, $out);
    my ($frames) = (-e "$dir/trace" ? slurp("$dir/trace") : '') =~ /^(launch sample_picture .*)/ms;
    my @copies = ($frames // '') =~ /^((?:htod|dtoh) .*)$/mg;
    return ($ended, $said, @copies);
}

my $few = 2;    # the least that has a past
my $clip = ffmpeg('-i', cache() . '/clips/webcam.mp4', '-frames:v', $few, qw(-an -c copy), "$dir/few.mp4");
my ($over) = ffmpeg(qw(-f lavfi -i testsrc2=size=200x160 -frames:v 1), "$dir/image.png");
($ended, $said, my @copies) = job({ LAZY => 1, PROTECT => 1, NVENC_LOSSLESS => 1 }, 'cuda', $clip, "$dir/card.mp4",
    qw(--background green));
is($ended, 0, 'mp4 on a colour: made on the card') or diag $said;
is("@copies", '', 'mp4 on a colour: nothing of a frame crosses between host and card');
$crossings += @copies;
is(scalar(() = slurp("$dir/trace") =~ /^$_/mg), $few, "mp4 on a colour: $_ for each frame")
    for 'nvdec', 'nvenc', 'launch compose', 'launch sample_picture', 'launch calm_step';
my $launches = () = slurp("$dir/trace") =~ /^launch (?:sample|fit|motion|calm|clean|spread|compose|place|fill)/mg;
cmp_ok($launches, '<=', 19 * $few, 'mp4 on a colour: the kernels but for the network\'s are few');
job({}, 'cpu', $clip, "$dir/processor.mp4", qw(--background green));
cmp_ok(psnr("$dir/card.mp4", "$dir/processor.mp4"), '>=', 42, 'mp4 on a colour: as the processor makes it');

for my $case (['mov', '--background', $over, qw(--canvas 320x400 --scale 0.8 --offset), '10,-20'],
    ['webm'],
    ['mov', qw(--canvas 480x320 --anchor top-left)]) {
    my ($format, @options) = @$case;
    my $what = join ' ', map { s{.*/}{}r } $format, @options;
    ($ended, $said, @copies) = job({ LAZY => 1, PROTECT => 1 }, 'cuda', $clip, "$dir/card.$format", @options);
    is($ended, 0, "$what: made on the card") or diag $said;
    is(scalar(grep { !/^dtoh .* pinned$|^htod/ } @copies), 0, "$what: frames come out to pinned memory only");
    is(scalar(grep { /^dtoh/ } @copies), $few * ($options[0] && $options[0] eq '--background' ? 3 : 4),
        "$what: each plane of a frame once");
    job({}, 'cpu', $clip, "$dir/processor.$format", @options);
    cmp_ok(psnr("$dir/card.$format", "$dir/processor.$format"), '>=', 50, "$what: as the processor makes it");
}
# What a job takes of a card is known before: it is not exceeded, nor far from what is taken, but for the driver's own.
my $driver_mib = 384;
my $hd = ffmpeg(qw(-f lavfi -i testsrc2=size=1920x1080:rate=10 -frames:v 2 -c:v libx264 -bf 3 -refs 16 -pix_fmt yuv420p), "$dir/hd.mp4");
for my $case (['mp4', qw(--background green)], ['webm'], ['mov', '--background', '#ff0000', qw(--canvas 1280x720 --scale 0.7)]) {
    my ($format, @options) = @$case;
    ($ended, $said) = job({}, 'cuda', $hd, "$dir/card.$format", @options);
    is($ended, 0, "memory, $format: made") or diag $said;
    my ($need) = $said =~ /^card_mib=(\d+)$/m;
    my ($peak) = slurp("$dir/trace") =~ /^peak (\d+)$/m;
    $peak /= 1 << 20;
    cmp_ok($peak, '<=', $need - $driver_mib, sprintf "memory, $format: %.0f MiB are not above what was known", $peak);
    cmp_ok($peak, '>=', .4 * ($need - $driver_mib), "memory, $format: nor far below ($need with the driver's $driver_mib)");
}
($ended, $said) = job({ NVENC_SESSIONS => 0 }, 'cuda', $clip, "$dir/card.mp4", qw(--background green));
is($ended, 0, 'no NVENC: made') or diag $said;
like($said, qr/^matte: warning: .+ \(encoder_unavailable\)$/m, 'no NVENC: with a warning');
cmp_ok(psnr("$dir/card.mp4", "$dir/processor.mp4"), '>=', 42, 'no NVENC: as the processor makes it');

# A card that does not run the network, here for want of its cuDNN: the processor does, and from the same answer the two
# make the same picture, to the bit.
mkdir "$dir/bare";
symlink "$gpu/$_", "$dir/bare/$_" for qw(libcuda.so.1 libcuemu.so libnvcuvid.so.1 libnvidia-encode.so.1);
spew("$dir/bare/libcudnn.so.9", 'no library');
$libraries = "$dir/bare";
($ended, $said, @copies) = job({ LAZY => 1, PROTECT => 1 }, 'cuda', $clip, "$dir/card.mov");
$libraries = $gpu;
is($ended, 0, 'no cuDNN: made') or diag $said;
like($said, qr/"event":"network_on_processor"/, 'no cuDNN: the log says so');
is(scalar(grep { /pageable/ } @copies), 3 * $few, 'no cuDNN: what the network saw and answered crosses, and no frame');
job({}, 'cpu', $clip, "$dir/processor.mov");
is(pictures("$dir/card.mov", @$_), pictures("$dir/processor.mov", @$_), "no cuDNN: as the processor makes it, @$_")
    for [], [qw(-vf alphaextract)];

# A worker of the engine, which has no files any more but a driver's when it is given its job.
my $trace = shared() . '/trace';
$libraries = "$gpu:$root/t/data/cards";
($status, $text) = emulated({ KERNELS => $plain, TRACE => $trace }, "$engine/unit/worker");
$libraries = $gpu;
is($status, 0, 'workers in their sandbox') or diag $text;
like(slurp($trace), qr/^nvdec .*^launch sample_picture .*^launch compose .*^dtoh .* pinned$/ms,
    'workers in their sandbox: on the card');

# The calls that only a job makes; cuDNN's at their first use, as t/gpu_networks.t has the others.
my $one = ffmpeg('-i', cache() . '/clips/webcam.mp4', qw(-frames:v 1 -an -c copy), "$dir/one.mp4");
clip({ COUNTS => "$dir/counts" }, 'libx264', $short);
my %clips = slurp("$dir/counts") =~ /^(\w+) (\d+)$/mg;
is((job({ COUNTS => "$dir/counts" }, 'cuda', $one, "$dir/card.mov"))[0], 0, 'a job of one frame');
my %jobs = slurp("$dir/counts") =~ /^(\w+) (\d+)$/mg;
for my $call (grep { !$clips{$_} } sort keys %jobs) {
    my %at = map { $_ => 1 } grep { $_ <= $jobs{$call} } 1, $call =~ /^cudnn/ ? () : (2, $jobs{$call});
    for my $n (sort { $a <=> $b } keys %at) {
        ($ended, $said) = job({ FAIL => "$call:$n" }, 'cuda', $one, "$dir/card.mov");
        $faults++;
        $crashes++ if $ended != 0 && $ended != 1;
        my $wanted = $ended ? qr/^matte: .+: .+\. \(\w+\)$/m : qr/^frames=1$/m;
        ok(($ended == 0 || $ended == 1) && $said =~ $wanted && $said !~ /leak/, "$call fails at its use $n of a job: $ended")
            or diag $said;
    }
}

done_testing();
printf "%s=%s\n", @$_ for ['gpu.host_crossings', $crossings], ['gpu.launches', sprintf '%.1f', $launches / $few],
    ['gpu.planted', scalar @planted], ['gpu.caught', $caught], ['gpu.faults', $faults], ['gpu.fault_crashes', $crashes];
