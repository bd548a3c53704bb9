# The matte program on clips made here: what comes out has the source's frames, times, shape, sound and colours, and what
# cannot be read is refused with its own code.
#   MATTE_BIN          the program (build/engine/matte)
#   MATTE_MODELS, MATTE_MODEL_FILES   as in its usage

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Matte::Test;

my $matte = $ENV{MATTE_BIN} // root . '/build/engine/matte';
$ENV{MATTE_MODELS} //= root . '/conf/models';
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';
my $webcam = cache() . '/clips/webcam.mp4';

my $dir = workspace;

sub ffmpeg {
    my (@args) = @_;
    my ($status, $text) = command('ffmpeg', '-hide_banner', '-v', 'error', '-nostdin', '-y', @args);
    die "ffmpeg @args: $text" if $status;
    return $args[-1];
}

my $video = 'testsrc2=size=320x180:rate=25:duration=1.2';
my @x264 = qw(-c:v libx264 -preset ultrafast);

# [seconds, ...] of every video frame, in order
sub shown_at {
    my ($file) = @_;
    my ($status, $text) = command(qw(ffprobe -v error -select_streams v:0 -show_entries frame=best_effort_timestamp_time
        -of csv=p=0), $file);
    return [map { /([\d.-]+)/ ? $1 : () } split /\n/, $text];
}

sub streams {
    my ($file) = @_;
    my ($status, $text) = command(qw(ffprobe -v error -show_streams -show_format -of flat), $file);
    return $text;
}

sub size {
    my ($text) = @_;
    return join 'x', $text =~ /^streams\.stream\.0\.(?:width|height)=(\d+)$/mg;
}

# The largest distance of two lists of times; undef if they differ in length.
sub distance {
    my ($a, $b, $shift) = @_;
    return undef if @$a != @$b || !@$a;
    my $most = 0;
    for my $i (0 .. $#$a) {
        my $d = abs($a->[$i] - $shift - $b->[$i]);
        $most = $d if $d > $most;
    }
    return $most;
}

# Mean of a plane or channel in a region of the first frame. $what: alpha, red, green, blue.
sub level {
    my ($file, $what, $x, $y, $w, $h, @input) = @_;
    my $filter = $what eq 'alpha' ? 'alphaextract,format=gray' : "format=gbrp,extractplanes=" . substr $what, 0, 1;
    my $raw = "$dir/level.raw";
    ffmpeg(@input, '-i', $file, '-frames:v', 1, '-vf', "$filter,crop=$w:$h:$x:$y", '-f', 'rawvideo', $raw);
    my @values = unpack 'C*', slurp($raw);
    my $sum = 0;
    $sum += $_ for @values;
    return $sum / @values;
}
my @vp9 = ('-c:v', 'libvpx-vp9');    # the native decoder drops alpha

# When the sound begins, in seconds of the file's own time.
sub onset {
    my ($file) = @_;
    my $raw = ffmpeg('-i', $file, '-map', '0:a', '-af', 'aresample=48000:async=1:first_pts=0', '-ac', 1, '-f', 's16le',
        "$dir/onset.raw");
    my @samples = unpack 's<*', slurp($raw);
    for my $i (0 .. $#samples) { return $i / 48000 if abs $samples[$i] > 3000; }
    return undef;
}

sub matte {
    my (@args) = @_;
    return command($matte, @args);
}

# ---- every kind of source keeps its frames and times ----

my %clips = (
    'constant rate' => ['a.mp4', '-f', 'lavfi', '-i', $video, @x264],
    'variable rate' => ['vfr.mkv', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=60:duration=1',
        '-vf', "select='eq(mod(n,7),0)+eq(mod(n,5),1)'", '-fps_mode', 'passthrough', @x264],
    'late start' => ['late.mkv', '-itsoffset', 0.4, '-f', 'lavfi', '-i', $video, '-f', 'lavfi', '-i',
        'sine=duration=1.6', @x264, '-c:a', 'libopus'],
    'late alone' => ['alone.mkv', '-f', 'lavfi', '-i', $video, @x264, '-output_ts_offset', 1.5],
    'odd size' => ['odd.mkv', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=10:duration=0.5', '-vf', 'scale=321:181',
        '-c:v', 'ffv1', '-pix_fmt', 'yuv420p'],
    '4:2:2 10 bit' => ['422.mp4', '-f', 'lavfi', '-i', $video, @x264, '-pix_fmt', 'yuv422p10le', '-t', 0.4],
    'full range 4:4:4' => ['444.mkv', '-f', 'lavfi', '-i', $video, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj444p', '-t', 0.4],
    'one frame' => ['one.mp4', '-f', 'lavfi', '-i', $video, @x264, '-frames:v', 1],
    'b-frames' => ['b.mp4', '-f', 'lavfi', '-i', $video, '-c:v', 'libx264', '-bf', 3, '-t', 0.8],
    'gif' => ['a.gif', '-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.5'],
    'transport stream' => ['a.ts', '-f', 'lavfi', '-i', $video, @x264],
    'hd' => ['hd.mp4', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=10:duration=0.4', @x264],
);
for my $name (sort keys %clips) {
    my ($file, @args) = @{ $clips{$name} };
    my ($in, $out) = (ffmpeg(@args, "$dir/$file"), "$dir/$file.webm");
    my ($status, $text) = matte($in, $out);
    is($status, 0, "$name: made") or diag($text), next;
    my ($source, $made) = (shown_at($in), shown_at($out));
    my ($start) = streams($in) =~ /^format\.start_time="([\d.-]+)"/m;
    is(scalar @$made, scalar @$source, "$name: the source's number of frames");
    my $off = distance($source, $made, $start);
    ok(defined $off && $off <= 0.00151, "$name: the source's times") or diag("off: ", $off // 'counts', " @$source | @$made");
    like($text, qr/^frames=${\ scalar @$made}$/m, "$name: said so");
    like(streams($out), qr/alpha_mode="1"/i, "$name: says it has alpha");
    my ($center) = level($out, 'alpha', 0, 0, 16, 16, @vp9);
    ok(defined $center, "$name: has alpha");
}

my $hd = streams("$dir/hd.mp4.webm");
like($hd, qr/color_space="bt709"/, '720 lines: BT.709');
like($hd, qr/color_range="tv"/, '720 lines: limited range');
like(streams("$dir/a.mp4.webm"), qr/color_space="smpte170m"/, '180 lines: BT.601');
is(size(streams("$dir/odd.mkv.webm")), '321x181', 'an odd size is kept');

# an edit list: the frames before it are decoded, not shown
my $cut = ffmpeg('-ss', 0.5, '-i', "$dir/a.mp4", '-c', 'copy', "$dir/cut.mp4");
my ($status, $text) = matte($cut, "$dir/cut.webm");
is_deeply(scalar @{ shown_at("$dir/cut.webm") }, scalar(grep { $_ >= 0 } @{ shown_at($cut) }), 'edit list: the shown frames')
    or diag($text);

# ---- geometry (which pixel goes where is t/unit/picture.c's) ----

for ([90, 180, 320], [180, 320, 180], [270, 180, 320]) {
    my ($angle, $width, $height) = @$_;
    my $in = ffmpeg('-i', "$dir/one.mp4", '-c', 'copy', '-metadata:s:v', "rotate=$angle", "$dir/r$angle.mp4");
    matte($in, "$dir/r$angle.webm");
    my $made = streams("$dir/r$angle.webm");
    is(size($made), "${width}x$height", "turned by $angle: the upright size");
    unlike($made, qr/displaymatrix|rotat/i, "turned by $angle: no matrix is left");
}

my $wide = ffmpeg('-f', 'lavfi', '-i', "$video,setsar=4/3", @x264, '-t', 0.2, "$dir/sar.mp4");
matte($wide, "$dir/sar.webm");
is(size(streams("$dir/sar.webm")), '426x180', 'pixels are made square');

ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=10:duration=0.5', @x264, "$dir/s1.ts");
ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=160x180:rate=10:duration=0.5', @x264, '-output_ts_offset', 0.5, "$dir/s2.ts");
spew("$dir/sizes.ts", slurp("$dir/s1.ts") . slurp("$dir/s2.ts"));
($status, $text) = matte("$dir/sizes.ts", "$dir/sizes.webm");
is($status, 0, 'the size changes in the middle: made') or diag($text);
is(scalar @{ shown_at("$dir/sizes.webm") }, 10, 'the size changes in the middle: all frames');
like(size(streams("$dir/sizes.webm")), qr/^(?:320|160)x180$/, 'the size changes in the middle: one of them, for all');

# ---- an opaque colour ----

matte('--background', '#00ff00', "$dir/hd.mp4", "$dir/green.webm");
unlike(streams("$dir/green.webm"), qr/alpha_mode/i, 'opaque: says nothing of alpha');
my ($pixel) = (ffmpeg('-i', "$dir/green.webm", '-frames:v', 1, '-f', 'rawvideo', '-pix_fmt', 'yuv444p', "$dir/green.raw"));
is(-s $pixel, 1280 * 720 * 3, 'opaque: a picture without alpha');
is(scalar @{ shown_at("$dir/green.webm") }, 4, 'opaque: all frames');

# ---- preview ----

($status, $text) = matte('--preview', 0.5, "$dir/a.mp4", "$dir/preview.webm");
is(scalar @{ shown_at("$dir/preview.webm") }, 13, 'preview: the frames before 0.5 s') or diag($text);
unlike($text, qr/truncated/, 'preview: a wanted end is no truncation');

# ---- sound: a tone that begins at a known time is within 20 ms of where it was ----

my $tone = 'aevalsrc=if(gt(t\\,1)\\,sin(880*PI*t)*.8\\,0):d=2.5:s=44100:c=stereo';
my $still = 'testsrc2=size=160x90:rate=10:duration=2.5';
my %sounds = (
    'AAC to Opus' => ['aac.mp4', 'opus', 1, '-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone, @x264, '-c:a', 'aac'],
    'Opus copied' => ['opus.webm', 'opus', 0, '-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone, '-c:v', 'libvpx-vp9',
        '-deadline', 'realtime', '-cpu-used', 8, '-c:a', 'libopus'],
    'Vorbis copied' => ['vorbis.mkv', 'vorbis', 0, '-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone, @x264,
        '-c:a', 'libvorbis'],
    'PCM, the video late' => ['pcm.mkv', 'opus', 1, '-itsoffset', 0.4, '-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone,
        @x264, '-c:a', 'pcm_s16le'],
    'AAC, the audio late' => ['late.mp4', 'opus', 1, '-f', 'lavfi', '-i', $still, '-itsoffset', 0.3, '-f', 'lavfi', '-i', $tone,
        @x264, '-c:a', 'aac'],
    'AC-3 5.1(side)' => ['ac3.mkv', 'opus', 1, '-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone, @x264,
        '-af', 'pan=5.1(side)|FL=c0|FR=c1|FC=c0|LFE=c0|SL=c0|SR=c1', '-c:a', 'ac3'],
);
for my $name (sort keys %sounds) {
    my ($file, $codec, $transcoded, @args) = @{ $sounds{$name} };
    my ($in, $out) = (ffmpeg(@args, "$dir/sound.$file"), "$dir/sound.$file.out.webm");
    ($status, $text) = matte($in, $out);
    is($status, 0, "$name: made") or diag($text), next;
    like(streams($out), qr/codec_name="$codec"/, "$name: $codec");
    is($text =~ /audio_transcoded/ ? 1 : 0, $transcoded, "$name: said whether it was converted");
    my ($start) = streams($in) =~ /^format\.start_time="([\d.-]+)"/m;
    my ($before, $after) = (onset($in), onset($out));
    my ($v_before, $v_after) = (shown_at($in)->[0], shown_at($out)->[0]);
    my $error = ($after - $v_after) - ($before - $v_before);
    cmp_ok(abs $error, '<=', 0.020, sprintf '%s: in sync (%.1f ms)', $name, $error * 1000);
}
# a codec that is not on the list is left out, and said
ffmpeg('-f', 'lavfi', '-i', $still, '-f', 'lavfi', '-i', $tone, @x264, '-c:a', 'wavpack', "$dir/wavpack.mkv");
($status, $text) = matte("$dir/wavpack.mkv", "$dir/wavpack.webm");
is($status, 0, 'audio of an unlisted codec: the video is made') or diag($text);
like($text, qr/\(audio_dropped\)/, 'audio of an unlisted codec: a warning says so');
unlike(streams("$dir/wavpack.webm"), qr/codec_type="audio"/, 'audio of an unlisted codec: none in the output');

matte('--preview', 1.2, "$dir/sound.aac.mp4", "$dir/sound.preview.webm");
my ($length) = streams("$dir/sound.preview.webm") =~ /^format\.duration="([\d.]+)"/m;
cmp_ok($length, '<=', 1.25, 'preview: the sound ends with the picture');

# ---- what cannot be read: a code each, an exit status, and no file left ----

spew("$dir/empty.mp4", '');
spew("$dir/text.mp4", "#EXTM3U\nfile:///etc/passwd\n" x 10);
spew("$dir/noise.mp4", join '', map { chr int rand 256 } 1 .. 20000);
ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'aac', "$dir/audio.m4a");
ffmpeg('-i', "$dir/audio.m4a", '-f', 'lavfi', '-i', 'testsrc2=size=64x64:duration=0.1', '-map', 0, '-map', 1, '-c:a', 'copy',
    '-c:v', 'mjpeg', '-frames:v', 1, '-disposition:v', 'attached_pic', "$dir/cover.m4a");
ffmpeg('-f', 'lavfi', '-i', 'color=size=16000x16000:rate=5', '-frames:v', 1, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', "$dir/huge.avi");
my %bad = (
    'empty.mp4' => 'empty_input', 'text.mp4' => 'unreadable_media', 'noise.mp4' => 'unreadable_media',
    'audio.m4a' => 'no_video_stream', 'cover.m4a' => 'no_video_stream', 'huge.avi' => 'too_large',
);
for my $file (sort keys %bad) {
    my $before = join ' ', sort glob "$dir/*";
    ($status, $text) = matte("$dir/$file", "$dir/bad.webm");
    is($status, 1, "$file: exit status 1");
    like($text, qr/^matte: \S+: .+\. \($bad{$file}\)$/m, "$file: $bad{$file}");
    ok(join(' ', sort glob "$dir/*") eq $before, "$file: nothing is left behind");
}

ffmpeg('-i', "$dir/a.mp4", '-c', 'copy', '-movflags', '+faststart', "$dir/fast.mp4");
my $whole = slurp("$dir/fast.mp4");
spew("$dir/half.mp4", substr $whole, 0, length($whole) * 0.6);
($status, $text) = matte("$dir/half.mp4", "$dir/half.webm");
is($status, 0, 'cut in the middle: what is there is made');
like($text, qr/\(truncated\)/, 'cut in the middle: a warning says so') or diag($text);
my $frames = @{ shown_at("$dir/half.webm") };
ok($frames > 2 && $frames < 27, "cut in the middle: $frames frames of 30");

ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.5', '-f', 'lavfi', '-i', 'sine=duration=1.5', '-c:v',
    'libvpx-vp9', '-c:a', 'libopus', "$dir/longer.webm");
($status, $text) = matte("$dir/longer.webm", "$dir/longer.out.webm");
is($status, 0, 'sound longer than the picture: made');
unlike($text, qr/truncated/, 'sound longer than the picture: nothing is missing');
($status, $text) = matte("$dir/longer.webm", "$dir/longer.out.gif");
unlike($text, qr/truncated/, 'sound longer than the picture: nor where it is left out');

# ---- the command line ----

for (['--background', 'mauve'], ['--preview', 'x'], ['--threads', 0], ['--nonsense'], ['--model', 'x' x 40]) {
    ($status, $text) = matte(@$_, "$dir/a.mp4", "$dir/x.webm");
    is($status, 2, "@$_: refused") or diag($text);
    ok(!-e "$dir/x.webm", "@$_: nothing made");
}
($status, $text) = matte("$dir/a.mp4", "$dir/x.mkv");
is($status, 2, 'an extension of no format: refused');
($status, $text) = matte('--model', 'other', "$dir/a.mp4", "$dir/x.webm");
like($text, qr/\(model_not_installed\)/, 'a model that is not there: its own code');
($status, $text) = matte("$dir/none.mp4", "$dir/x.webm");
like($text, qr/\(not_found\)/, 'a file that is not there: its own code');

# stopped in the middle
my $log = "$dir/stopped.log";
ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=60', @x264, "$dir/minute.mp4");
my $pid = spawn($log, $matte, "$dir/minute.mp4", "$dir/stopped.webm");
wait_for { glob "$dir/stopped.webm.*" } 20, 'the run to begin';
my $code = finish($pid, 'INT', 20);
is($code >> 8, 130, 'interrupted: exit status 130') or diag(slurp($log));
is(join(' ', glob "$dir/stopped.webm*"), '', 'interrupted: nothing is left behind');

{
    ($status, $text) = matte('--preview', 2, $webcam, "$dir/real.webm");
    is($status, 0, 'the real clip: made') or diag($text);
    is(scalar @{ shown_at("$dir/real.webm") }, 50, 'the real clip: 2 s of it');
    is(distance([@{ shown_at($webcam) }[0 .. 49]], shown_at("$dir/real.webm"), 0) < 0.001, 1,
        'the real clip: its times');
    # a head before a wall, 400x300
    cmp_ok(level("$dir/real.webm", 'alpha', 190, 150, 20, 20, @vp9), '>', 0.9 * 255, 'the real clip: the face stays');
    cmp_ok(level("$dir/real.webm", 'alpha', $_, 0, 40, 40, @vp9), '<', 0.05 * 255, "the real clip: the corner at $_ goes")
        for 0, 360;
    matte('--preview', 0.2, '--background', 'green', $webcam, "$dir/real.green.webm");
    my %green = map { $_ => level("$dir/real.green.webm", $_, 0, 0, 40, 40) } qw(red green blue);
    cmp_ok($green{green}, '>', 245, 'the real clip on green: the corner is green');
    cmp_ok($green{$_}, '<', 12, "the real clip on green: no $_ in it") for qw(red blue);
}

done_testing;
