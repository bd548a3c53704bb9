# Each output format as readers that share nothing with it see it: ffprobe and libvpx, webpinfo and dwebp, unzip, and
# Chromium what is made for browsers. The matte itself, made beside each by the same process, is what the compositor made:
# the PNG sequence, MOV and WebP must hold the same, WebM nearly. (Two processes may differ by rounding: convolutions are
# computed by what was the faster way when each was tried.)
#   MATTE_BIN          the program (build/engine/matte)
#   MATTE_MODELS, MATTE_MODEL_FILES   as in its usage

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use List::Util qw(max);
use Test::More;
use Matte::Browser;
use Matte::Media;
use Matte::Test;

my $matte = $ENV{MATTE_BIN} // root . '/build/engine/matte';
$ENV{MATTE_MODELS} //= root . '/conf/models';
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';
my $dir = workspace;
my $webcam = cache() . '/clips/webcam.mp4';
my ($width, $height, $frames) = (400, 300, 10);
my $pixels = $width * $height;

# A head before a wall at uneven times, the last picture the longest, with the sound of a tone that begins at 0.25 s.
my @times = map { int(1.5 * $_) / 25 } 0 .. $frames - 1;
my $end = $times[-1] + .2;
my @durations = map { ($times[$_ + 1] // $end) - $times[$_] } 0 .. $frames - 1;
my $source = made('-t', $frames / 25, '-i', $webcam, '-f', 'lavfi', '-i',
    'aevalsrc=if(gt(t\,.25)\,.8*sin(880*PI*t)\,0):d=0.7:s=48000:c=stereo', '-vf', "setpts=floor(N*1.5)/25/TB", '-fps_mode', 'passthrough',
    '-r', 5, '-enc_time_base', '1:100', qw(-c:v libx264 -preset ultrafast -qp 8 -c:a aac), "$dir/source.mp4");
my $onset = audio_onset($source);

sub matte {
    my ($name, @args) = @_;
    my ($status, $text) = command($matte, @args, $source, "$dir/$name");
    is($status, 0, "$name is made") or diag($text);
    return ("$dir/$name", $text);
}

# The same, and the alpha of every frame, one byte a pixel.
sub matte_and_alpha {
    my ($name, @args) = @_;
    my ($file, $text) = matte($name, '--alpha', "$dir/alpha.mp4", @args);
    return ($file, $text, raw_video("$dir/alpha.mp4", 'extractplanes=y', 'gray'));
}

# What ffprobe says of the first video stream.
sub video { my ($file, $entry) = @_; return stream($file, 'v:0', $entry); }
my @tags = qw(color_range color_space color_transfer color_primaries);

sub in_sync {
    my ($file) = @_;
    my $off = 1000 * (audio_onset($file) - $onset);
    cmp_ok(abs $off, '<=', 20, sprintf '%s: the tone is where it was (%.1f ms)', $file =~ s{.*/}{}r, $off);
    return;
}

# What ffprobe says of the whole.
sub lasts { return (command(qw(ffprobe -v error -show_entries format=duration -of csv=p=0), $_[0]))[1] =~ s/\n//r }

sub milliseconds { return join ' ', map { sprintf '%.0f', 1000 * $_ } @_ }

sub same_times {
    my ($name, @seen) = @_;
    cmp_ok($seen[0], '<', 0.01, "$name: it starts at once");    # WebM: after what Opus skips
    is(milliseconds(map { $_ - $seen[0] } @seen), milliseconds(@times), "$name: the source's times");
    return;
}

sub same_durations {
    my ($name, @seen) = @_;
    is(milliseconds(@seen), milliseconds(@durations), "$name: the source's durations");
    return;
}

my $exact = 0;
my %truth;    # of a file: its alpha

# ---- PNG sequence ----

{
    my ($file, $text, $truth) = matte_and_alpha('sequence.zip');
    is((command('unzip', '-tq', $file))[0], 0, 'sequence: unzip finds nothing wrong');
    my (undef, $list) = command('unzip', '-Z1', $file);
    is($list, join('', map { sprintf "%06d.png\n", $_ } 1 .. $frames) . "sound.m4a\nmanifest.json\n", 'sequence: the files');
    like((command('unzip', '-Zv', $file, '000001.png'))[1], qr/compression method:\s+none \(stored\)/, 'sequence: stored');
    command('unzip', '-q', '-o', $file, '-d', "$dir/sequence");
    my $manifest = decode_json(slurp("$dir/sequence/manifest.json"));
    is("$manifest->{width}x$manifest->{height} $manifest->{alpha} $manifest->{sound}", '400x300 straight sound.m4a',
        'sequence: what the manifest says');
    same_times('sequence', map { $_->{time} } @{ $manifest->{pictures} });
    same_durations('sequence', map { $_->{duration} } @{ $manifest->{pictures} });
    is(video("$dir/sequence/000001.png", 'pix_fmt'), 'rgba', 'sequence: RGBA');
    is(stream("$dir/sequence/sound.m4a", 'a:0', 'codec_name'), 'aac', 'sequence: AAC is copied');
    unlike($text, qr/audio_/, 'sequence: and nothing is said of it');
    in_sync("$dir/sequence/sound.m4a");
    is(length $truth, $frames * $pixels, 'sequence: alpha of every frame');
    cmp_ok($truth =~ tr/\x01-\xfe//, '>', 500 * $frames, 'sequence: with edges');
    $exact += ok(raw_video("$dir/sequence/%06d.png", 'alphaextract', 'gray') eq $truth, 'sequence: alpha is exact');
    $truth{$file} = $truth{"$dir/sequence/000001.png"} = $truth;
}

# A later picture's colours, where there are any, against the sequence's, in dB. They, and what is filled in where there are
# none, make the file's size.
sub looks_like {
    my ($name, $least, $file, @input) = @_;
    my $shown = 'select=eq(n\,5),format=gbrap,premultiply=inplace=1';
    my $psnr = psnr(raw_video("$dir/sequence/%06d.png", $shown, 'gbrp'), raw_video($file, $shown, 'gbrp', @input));
    cmp_ok($psnr, '>=', $least, sprintf "$name: colours are near (%.1f dB)", $psnr);
    return;
}

# ---- alpha alone ----

# Beside an opaque output and a transparent one it is the same, at the output's times.
for (['over.mp4', '--background', 'green'], ['out.gif']) {
    my ($name, @args) = @$_;
    my ($file, undef, $truth) = matte_and_alpha($name, @args);
    is(join(' ', map { video("$dir/alpha.mp4", $_) } qw(codec_name pix_fmt color_range)), 'vp9 yuv420p pc', "alpha of $name: VP9, full range");
    is(join(' ', frame_times("$dir/alpha.mp4")), join(' ', frame_times($file)), "alpha of $name: its times");
    is(video("$dir/alpha.mp4", 'duration'), '0.720000', "alpha of $name: with the last one's duration");
    cmp_ok(psnr($truth, $truth{"$dir/sequence.zip"}), '>=', 60, "alpha of $name: that of the sequence");
    ok(raw_video("$dir/alpha.mp4", 'format=gray', 'gray') eq $truth, "alpha of $name: as any reader sees it");
    is(raw_video("$dir/alpha.mp4", 'extractplanes=u', 'gray') =~ tr/\x80//c, 0, "alpha of $name: grey");
    like(slurp("$dir/alpha.mp4"), qr/^.{4}ftyp.*?moov.*mdat/s, "alpha of $name: the index comes first");
}
{
    my ($status, $text) = command($matte, '--alpha', "$dir/none/alpha.mp4", $source, "$dir/no.webm");
    is($status, 1, 'alpha where no file can be made: refused');
    like($text, qr/\(storage_error\)/, 'and said');
    is(join(' ', glob "$dir/no.webm*"), '', 'and nothing is left');
}

# ---- MOV ----

{
    my ($file, $text, $truth) = matte_and_alpha('out.mov');
    is(join(' ', map { video($file, $_) } qw(codec_name profile codec_tag_string pix_fmt), @tags),
        'prores 4444 ap4h yuva444p12le tv smpte170m bt709 smpte170m', 'mov: ProRes 4444');
    is(stream($file, 'a:0', 'codec_name'), 'aac', 'mov: AAC is copied');
    is(ord((slurp($file) =~ /icpf.{17}(.)/s)[0]) & 15, 2, 'mov: 16 bits of alpha');
    same_times('mov', frame_times($file));
    is(video($file, 'duration'), '0.720000', 'mov: with the last one\'s duration');
    in_sync($file);
    my $alpha = pack 'C*', map { int(($_ * 255 + 2047) / 4095) } unpack 'v*', raw_video($file, 'alphaextract', 'gray12le');
    $exact += ok($alpha eq $truth, 'mov: alpha is exact');
    looks_like('mov', 52, $file);
    cmp_ok(-s $file, '<', 300000, 'mov: and the file is not large');
    ($file) = matte('opaque.mov', '--background', 'green');
    is(video($file, 'profile') . ' ' . video($file, 'pix_fmt'), 'HQ yuv422p10le', 'mov, opaque: ProRes 422 HQ');
}

# ---- WebP ----

# The alpha of the pictures that an animation shows, from its chunks as the container's specification has them.
sub webp_alpha {
    my ($file) = @_;
    my ($data, $canvas, $at, $n, @shown) = (slurp($file), "\0" x $pixels, 12, 0);
    my (@after, @durations);
    while ($at + 8 <= length $data) {
        my ($tag, $size) = unpack 'a4V', substr $data, $at, 8;
        if ($tag eq 'ANMF') {
            my ($x, $y, $w, $h, $ms, $flags) = map { $_ & 0xffffff } unpack 'V' x 5 . 'C',
                join '', map { $_ . (length == 3 ? "\0" : '') } unpack '(a3)5a1', substr $data, $at + 8, 16;
            ($x, $y, $w, $h) = (2 * $x, 2 * $y, $w + 1, $h + 1);
            $n++;
            command('webpmux', '-get', 'frame', $n, $file, '-o', "$dir/frame.webp");
            command('dwebp', '-quiet', "$dir/frame.webp", '-pam', '-o', "$dir/frame.pam");
            my $pam = slurp("$dir/frame.pam") =~ s/^.*?ENDHDR\n//sr;
            my $own = join '', map { substr $pam, 4 * $_ + 3, 1 } 0 .. $w * $h - 1;
            for my $row (0 .. $h - 1) {
                my $to = ($y + $row) * $width + $x;
                my $line = substr $own, $row * $w, $w;
                if (!($flags & 2)) {    # over what is there
                    my @under = unpack 'C*', substr $canvas, $to, $w;
                    $line = pack 'C*', map { my $a = $_; my $u = shift @under; $a + ($u * (256 - $a) >> 8) } unpack 'C*', $line;
                }
                substr $canvas, $to, $w, $line;
            }
            push @shown, $canvas;
            push @durations, $ms;
            if ($flags & 1) { substr $canvas, ($y + $_) * $width + $x, $w, "\0" x $w for 0 .. $h - 1; }
        }
        $at += 8 + $size + ($size & 1);
    }
    return (join('', @shown), @durations);
}

{
    my ($file, $text, $truth) = matte_and_alpha('out.webp');
    like($text, qr/\(audio_dropped\)/, 'webp: says that the sound is left out');
    my (undef, $info) = command('webpinfo', '-summary', $file);
    like($info, qr/No error detected/, 'webp: webpinfo finds nothing wrong');
    like($info, qr/Animation: 1/, 'webp: animated');
    like($info, qr/Alpha: 1/, 'webp: with alpha');
    like($info, qr/Loop count\s+: 0/, 'webp: for ever');
    like($info, qr/Canvas size 400 x 300/, 'webp: its size');
    my ($alpha, @ms) = webp_alpha($file);
    same_durations('webp', map { $_ / 1000 } @ms);
    $exact += ok($alpha eq $truth, 'webp: alpha is exact');
    # the first picture, under which there is none
    my ($list) = (command('webpmux', '-info', $file))[1] =~ /^\s*1:\s+(.*)/m;
    my ($w, $h, undef, $x, $y) = split ' ', $list;
    command('webpmux', '-get', 'frame', 1, $file, '-o', "$dir/frame.webp");
    command('dwebp', '-quiet', "$dir/frame.webp", '-pam', '-o', "$dir/frame.pam");
    my $psnr = psnr(map { raw_video($_->[0], "$_->[1]format=gbrap,premultiply=inplace=1", 'gbrp') }
        ["$dir/frame.pam", ''], ["$dir/sequence/000001.png", "crop=$w:$h:$x:$y:exact=1,"]);
    cmp_ok($psnr, '>=', 38, sprintf 'webp: colours are near (%.1f dB)', $psnr);
    $truth{$file} = $truth;
}

# ---- WebM ----

{
    my ($file, $text, $truth) = matte_and_alpha('out.webm');
    is(join(' ', map { video($file, $_) } qw(codec_name pix_fmt alpha_mode), @tags), 'vp9 yuv420p 1 tv smpte170m bt709 smpte170m',
        'webm: VP9 with alpha');
    is(stream($file, 'a:0', 'codec_name'), 'opus', 'webm: AAC became Opus');
    my ($skipped) = slurp($file) =~ /OpusHead..(..)/s;
    my ($delay) = slurp($file) =~ /\x56\xaa\x83(...)/s;    # CodecDelay, ns
    is(join(' ', unpack('v', $skipped), unpack('N', "\0$delay") * 48e-6), '312 312', 'webm: samples to skip, as both headers have it');
    same_times('webm', frame_times($file));
    in_sync($file);
    my $alpha = raw_video($file, 'alphaextract', 'gray', '-c:v', 'libvpx-vp9');
    my $psnr = psnr($alpha, $truth);
    cmp_ok($psnr, '>=', 60, sprintf 'webm: alpha is near (%.1f dB)', $psnr);
    my $zeros = $truth =~ tr/\0//;
    my $mask = $truth =~ tr/\0-\xff/\xff\0/r;                # 255 where alpha is 0
    my $risen = ($alpha & $mask) =~ tr/\x03-\xff//;
    cmp_ok(1 - $risen / $zeros, '>=', 0.999, "webm: zero stays ($risen of $zeros do not)");
    my $opaque = ($truth ^ "\xff" x length $truth) =~ tr/\0-\xff/\xff\0/r;
    my $fallen = (($alpha ^ "\xff" x length $alpha) & $opaque) =~ tr/\x06-\xff//;
    cmp_ok($fallen, '<=', 0.001 * ($opaque =~ tr/\xff//), "webm: and one ($fallen do not)");
    looks_like('webm', 44, $file, '-c:v', 'libvpx-vp9');
    cmp_ok(-s $file, '<', 48000, 'webm: and the file is not large');
    $truth{$file} = $alpha;
    ($file, undef, $truth) = matte_and_alpha('exact.webm', '--lossless');
    ok(raw_video($file, 'alphaextract', 'gray', '-c:v', 'libvpx-vp9') eq $truth, 'webm, lossless: alpha is exact');
    $truth{$file} = $truth;
    printf "matte.webm_alpha_psnr_db=%.1f\nmatte.exact_formats=%d\n", $psnr, $exact;
}

# ---- GIF ----

{
    my ($file, $text, $truth) = matte_and_alpha('out.gif');
    like($text, qr/\(audio_dropped\)/, 'gif: says that the sound is left out');
    same_times('gif', frame_times($file));
    same_durations('gif', packet_durations($file));
    looks_like('gif', 34, $file);
    my $alpha = raw_video($file, 'format=bgra,alphaextract', 'gray');
    my $want = join '', map { ord >= 128 ? "\xff" : "\0" } split //, $truth;
    is(($alpha ^ $want) =~ tr/\0//c, 0, 'gif: one bit of alpha, at a half');
    $truth{$file} = $alpha;
}

# ---- a browser ----

sub hashes { my ($alpha) = @_; return map { sha256_hex(substr $alpha, $_ * $pixels, $pixels) } 0 .. $frames - 1 }

# Mean R, G, B of the pixels of the sequence's first picture whose alpha is of least..most.
sub mean_color {
    my ($least, $most) = @_;
    my @sum = (0) x 3;
    my @pixels = grep { my $alpha = ord substr $_, 3; $alpha >= $least && $alpha <= $most }
        unpack '(a4)*', raw_video("$dir/sequence/000001.png", 'null', 'rgba');
    for my $pixel (@pixels) {
        my @rgb = unpack 'C3', $pixel;
        $sum[$_] += $rgb[$_] for 0 .. 2;
    }
    return map { $_ / @pixels } @sum;
}

{
    my %color = (opaque => [mean_color(255, 255)], soft => [mean_color(64, 191)]);
    my @files = (
        # type, file, how far colours may be off; what is soft shows whether they are straight
        ['video/webm', 'out.webm',   opaque => 2, soft => 8],
        ['video/webm', 'exact.webm', opaque => 2, soft => 8],
        ['image/webp', 'out.webp',   opaque => 2, soft => 8],
        ['image/gif',  'out.gif',    opaque => 4],
        ['image/png',  'sequence/000001.png', opaque => .5, soft => .5],
    );
    my @middles = map { $_ + .02 } @times;
    my @shown = shown(map { my ($type, $name) = @$_; [$type, "$dir/$name", $type =~ /video/ ? @middles : ()] } @files);
    for (@files) {
        my ($type, $name, %most) = @$_;
        my $seen = shift @shown;
        my @pictures = @{ $seen->{pictures} };
        is("$seen->{width}x$seen->{height}", "${width}x$height", "browser: $name, its size");
        cmp_ok(abs($seen->{duration} - $end), '<', .02, "browser: $name, its duration") if @pictures > 1;
        if ($seen->{played}) {
            same_times("browser: $name", map { $_->{time} } @pictures);
            is($seen->{played}{pictures}, $frames, "browser: $name is played, every picture");
            is($seen->{played}{end}, $seen->{duration}, "browser: $name is played to its end");
        } elsif (@pictures > 1) {
            same_times("browser: $name", map { $_->{time} } @pictures);
            same_durations("browser: $name", map { $_->{duration} } @pictures);
            ok($seen->{forever}, "browser: $name, again and again");
        }
        is(join(' ', map { $_->{alpha} } @pictures), join(' ', (hashes($truth{"$dir/$name"}))[0 .. $#pictures]),
            "browser: $name, alpha of every picture");
        for my $what (sort keys %most) {
            my $off = max map { abs $pictures[0]{$what}{color}[$_] - $color{$what}[$_] } 0 .. 2;
            cmp_ok($off, '<=', $most{$what}, sprintf "browser: $name, colours of what is $what (%.1f off)", $off);
        }
        cmp_ok($_, '>', $pixels / 10, "browser: $name, there is what is clear and what is opaque")
            for $pictures[0]{clear}, $pictures[0]{opaque}{pixels};
    }
}

# ---- MP4 ----

{
    my ($status, $text) = command($matte, $source, "$dir/none.mp4");
    is($status, 2, 'mp4, transparent: refused');
    like($text, qr/background must be a color or an image/, 'mp4, transparent: and says what to change');
    my ($file) = matte('out.mp4', '--background', '#2040a0');
    is(join(' ', map { video($file, $_) } qw(codec_name profile pix_fmt), @tags), 'h264 High yuv420p tv smpte170m bt709 smpte170m',
        'mp4: H.264');
    is(stream($file, 'a:0', 'codec_name'), 'aac', 'mp4: AAC is copied');
    same_times('mp4', frame_times($file));
    is(lasts($file), '0.720000', 'mp4: with the last one\'s duration');
    in_sync($file);
    like(slurp($file), qr/^.{4}ftyp.*?moov.*mdat/s, 'mp4: the index comes first');
    my @rgb = unpack 'C3', raw_video($file, 'select=eq(n\,5),crop=2:2:10:10:exact=1', 'rgb24');
    ok(abs($rgb[0] - 32) < 6 && abs($rgb[1] - 64) < 6 && abs($rgb[2] - 160) < 6, "mp4: the background's colour (@rgb)");

    $source = made('-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=0.08', '-vf', 'scale=1281:721',
        '-c:v', 'ffv1', '-pix_fmt', 'yuv420p', "$dir/hd.mkv");
    ($file) = matte('hd.mp4', '--background', 'white');
    is(join(' ', map { video($file, $_) } qw(width height color_space color_transfer color_primaries)), '1280 720 bt709 bt709 bt709',
        'mp4: even sides, and BT.709 from 720 lines on');
    ($file) = matte('hd.mov');
    is(join(' ', map { video($file, $_) } qw(width height color_space color_transfer color_primaries)), '1281 721 bt709 bt709 bt709',
        'mov: any sides');
    ($file) = matte('hd.zip', '--background', '#2040a0');
    command('unzip', '-q', '-o', $file, '-d', "$dir/hd");
    @rgb = unpack 'C3', raw_video("$dir/hd/000001.png", 'crop=1:1:10:10', 'rgb24');
    ok(abs($rgb[0] - 32) < 3 && abs($rgb[1] - 64) < 3 && abs($rgb[2] - 160) < 3, "sequence: BT.709's colours (@rgb)");
}

# ---- sound: what each takes as it is, and what it makes of the rest ----

my $picture = 'color=gray:size=64x48:rate=10:duration=0.5';
my $tone = 'aevalsrc=if(gt(t\,.25)\,.8*sin(880*PI*t)\,0):d=0.5:s=48000:c=stereo';
my @six = ('-af', 'pan=5.1(side)|FL=c0|FR=c1|FC=c0|LFE=c0|SL=c0|SR=c1');
for (
    # encoder, the format and the codec in it
    ['libmp3lame', mov => 'mp3'],  ['ac3', mov => 'ac3'],     ['alac', mov => 'alac'], ['pcm_s16le', mov => 'pcm_s16le'],
    ['flac', mov => 'aac'],        ['libopus', mp4 => 'aac'], ['ac3', mp4 => 'ac3'],   ['pcm_s16le', mp4 => 'aac'],
    ['pcm_s16le', mp4 => 'aac', @six], ['libopus', webm => 'opus'], ['libvorbis', webm => 'vorbis'], ['flac', webm => 'opus'],
) {
    my ($encoder, $format, $codec, @args) = @$_;
    $source = made('-f', 'lavfi', '-i', $picture, '-f', 'lavfi', '-i', $tone, @args, '-c:v', 'libx264', '-preset', 'ultrafast',
        '-c:a', $encoder, "$dir/tone.mkv");
    $onset = audio_onset($source);
    my ($file, $text) = matte("tone.$format", '--background', 'black');
    is(stream($file, 'a:0', 'codec_name'), $codec, "$encoder in $format: $codec");
    is($text =~ /audio_transcoded/ ? 1 : 0, $encoder =~ /$codec/ ? 0 : 1, "$encoder in $format: said whether it was converted");
    is(stream($file, 'a:0', 'channels'), @args ? 6 : 2, "$encoder in $format: channels");
    in_sync($file);
}

# ---- composition ----

# Of every pixel of a transparent output: 1 where something is to be seen.
sub seen {
    my ($name, @args) = @_;
    my ($file) = matte($name, @args);
    return unpack 'C*', raw_video($file, 'select=eq(n\,0),alphaextract', 'gray', '-c:v', 'libvpx-vp9');
}

{
    $source = made('-t', 0.08, '-i', $webcam, '-c:v', 'libx264', '-preset', 'ultrafast', '-qp', 10, "$dir/short.mp4");
    my @alpha = seen('left.webm', qw(--canvas 1000x300 --anchor center-left --scale .5));
    is(scalar @alpha, 1000 * 300, 'canvas: its size');
    my ($inside, $outside) = (0, 0);
    for my $i (0 .. $#alpha) {
        my ($x, $y) = ($i % 1000, int $i / 1000);
        next if $alpha[$i] < 128;
        $x < 200 && $y >= 75 && $y < 225 ? $inside++ : $outside++;
    }
    cmp_ok($inside, '>', 3000, 'canvas: the subject is at its place');
    is($outside, 0, 'canvas: and nowhere else');

    my $image = made('-f', 'lavfi', '-i', 'color=red:s=60x60', '-f', 'lavfi', '-i', 'color=blue:s=60x60', '-filter_complex',
        '[0][1]vstack', '-frames:v', 1, "$dir/image.png");
    my ($file) = matte('image.mp4', '--background', $image, qw(--canvas 301x301 --anchor bottom-right --offset), '100,0');
    is(video($file, 'width') . 'x' . video($file, 'height'), '300x300', 'image: the canvas is made even for MP4');
    my @rgb = unpack 'C*', raw_video($file, 'select=eq(n\,0)', 'rgb24');
    my $at = sub { my ($x, $y) = @_; my $i = 3 * (300 * $y + $x); return @rgb[$i .. $i + 2] };
    my ($top, $bottom) = ([$at->(3, 3)], [$at->(3, 296)]);
    ok($top->[0] > 230 && $top->[2] < 30, "image: red above (@$top)");
    ok($bottom->[2] > 230 && $bottom->[0] < 30, "image: blue below (@$bottom), cropped to a square from its centre");

    for (['--canvas', '15x100'], ['--canvas', '100'], ['--anchor', 'middle'], ['--scale', 0], ['--offset', 'x,1'], ['--format', 'avi']) {
        my ($status, $text) = command($matte, @$_, $source, "$dir/x.webm");
        is($status, 2, "@$_: refused");
        like($text, $_->[0] eq '--format' ? qr/avi/ : qr/$_->[0]/, "@$_: and named");
    }
    my ($status, $text) = command($matte, '--background', $source, $source, "$dir/x.webm");
    is($status, 1, 'an image that is none: refused');
    like($text, qr/\(unreadable_image\)/, 'an image that is none: its own code');
}

done_testing;
