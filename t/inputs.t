# Awkward videos, one case each, as t/matte.t does not have them: every one is made here, run through the program, and what
# comes out has the frames, times, shape, colours and sound that a viewer of the source sees. Ends with inputs.cases,
# inputs.failed and inputs.av_error_ms_max.
#   MATTE_BIN          the program (build/engine/matte)
#   MATTE_MODELS, MATTE_MODEL_FILES   as in its usage

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use List::Util qw(max sum0);
use Test::More;
use Matte::Media;
use Matte::Test;

my $matte = $ENV{MATTE_BIN} // root . '/build/engine/matte';
$ENV{MATTE_MODELS} //= root . '/conf/models';
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';
my $dir = workspace;
my ($cases, $failed, $av_max) = (0, 0, 0);

my @x264 = qw(-c:v libx264 -preset ultrafast);
my $tone = 'aevalsrc=if(gt(t\\,0.5)\\,.8*sin(880*PI*t)\\,0):d=1:s=48000:c=stereo';

sub case {
    my ($name, $code) = @_;
    $cases++;
    my $passed = subtest $name => $code;
    $failed++ unless $passed;
    return;
}

# The output of a source; its text. Opaque, as what the network takes for the subject is not what is tested here.
sub matte {
    my ($in, $name, @args) = @_;
    my ($status, $text) = command($matte, @args, $in, "$dir/$name");
    is $status, 0, 'is made' or diag $text;
    return ("$dir/$name", $text);
}

sub refused {
    my ($in, $code, $says) = @_;
    my ($status, $text) = command($matte, $in, "$dir/refused.webm");
    is $status, 1, 'refused';
    like $text, qr/^matte: \S+: .+\. \($code\)$/m, $code;
    like $text, $says // qr/./, 'and says why';
    ok !-e "$dir/refused.webm", 'and nothing is left';
    return;
}

# When the earliest of a file's streams begins, in its own time.
sub starts_at {
    my ($file) = @_;
    return (command('ffprobe', '-v', 'error', '-show_entries', 'format=start_time', '-of', 'csv=p=0', $file))[1];
}

# The error of the tone against the picture, in ms, added to the greatest.
sub av_error {
    my ($in, $out) = @_;
    # ffmpeg counts from where the file starts
    my ($before, $after) = map { audio_onset($_) - ((frame_times($_))[0] - starts_at($_)) } $in, $out;
    my $error = 1000 * abs $after - $before;
    $av_max = $error if $error > $av_max;
    cmp_ok $error, '<=', 20, sprintf 'sound and picture are together (%.1f ms)', $error;
    return;
}

# Frames are where they were, counted from the first.
sub same_times {
    my ($in, $out, $tolerance) = @_;
    my @in = frame_times($in);
    my @out = frame_times($out);
    is scalar @out, scalar @in, 'as many frames';
    return unless @in == @out && @in;
    my $off = max map { abs(($in[$_] - $in[0]) - ($out[$_] - $out[0])) } 0 .. $#in;
    cmp_ok $off, '<=', $tolerance // .0015, sprintf 'at the same times (%.1f ms)', 1000 * $off;
    return;
}

# ---- times ----

case 'a late start, in every container with sound' => sub {
    my $in = made('-itsoffset', 0.4, '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=1', '-f', 'lavfi', '-i', $tone, @x264,
        '-c:a', 'aac', "$dir/late.mkv");
    for my $format (qw(webm mov mp4)) {
        my ($out) = matte($in, "late.$format", '--background', 'black');
        same_times($in, $out);
        av_error($in, $out);
    }
};

case 'a negative start' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=1', '-f', 'lavfi', '-i', $tone, @x264, '-c:a', 'aac',
        '-output_ts_offset', -5, '-avoid_negative_ts', 'disabled', "$dir/negative.ts");
    my ($out) = matte($in, 'negative.mp4', '--background', 'black');
    same_times($in, $out);
    av_error($in, $out);
};

case 'a variable rate, with sound' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=60:duration=1', '-f', 'lavfi', '-i', $tone, '-vf',
        "select='eq(mod(n,7),0)+eq(mod(n,5),1)'", '-fps_mode', 'passthrough', @x264, '-c:a', 'aac', "$dir/vfr.mkv");
    for my $format (qw(webm mov)) {
        my ($out) = matte($in, "vfr.$format");
        same_times($in, $out);
        av_error($in, $out);
    }
    my ($zip) = matte($in, 'vfr.zip');
    my @pictures = @{ decode_json((command('unzip', '-p', $zip, 'manifest.json'))[1])->{pictures} };
    is scalar(grep { abs($pictures[$_]{time} + $pictures[$_]{duration} - $pictures[$_ + 1]{time}) > 1e-5 } 0 .. $#pictures - 1), 0,
        'in a sequence each lasts until the next';
};

case 'a hole in the sound' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=1', '-f', 'lavfi', '-i', $tone, @x264, '-af',
        "aselect=not(between(t\\,.1\\,.4))", '-c:a', 'flac', "$dir/hole.mkv");
    for my $format (qw(webm mp4)) {
        my ($out) = matte($in, "hole.$format", '--background', 'black');
        av_error($in, $out);
    }
};

case 'an edit list that cuts picture and sound' => sub {
    my $whole = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1', '-f', 'lavfi', '-i', $tone, '-c:v', 'libx264',
        '-bf', 2, '-g', 50, '-c:a', 'aac', "$dir/whole.mp4");
    my $in = made('-ss', 0.3, '-i', $whole, '-c', 'copy', "$dir/cut.mp4");
    my ($out) = matte($in, 'cut.mov');
    is scalar(frame_times($out)), scalar(grep { $_ >= 0 } frame_times($in)), 'the shown frames';
    av_error($in, $out);
};

case 'a rate that lies' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.5', '-c:v', 'apng', "$dir/lies.apng");
    my $mkv = made('-i', $in, '-c:v', 'ffv1', '-fps_mode', 'passthrough', '-r', 100000, '-enc_time_base', '1:100000', "$dir/lies.mkv");
    my ($out) = matte($mkv, 'lies.mp4', '--background', 'black');
    is scalar(frame_times($out)), scalar(frame_times($mkv)), 'no frame is made up';
};

case 'a duration that lies' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=1', @x264, "$dir/long.mkv");
    my $data = slurp($in);
    $data =~ s/(\x44\x89\x88)(.{8})/$1 . pack 'd>', 100 * unpack 'd>', $2/se;    # Duration
    spew($in, $data);
    my ($out, $text) = matte($in, 'long.webm');
    is scalar(frame_times($out)), 10, 'the frames that there are';
    like $text, qr/\(truncated\)/, 'and it is said';
};

case 'one frame, in every format' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=25', '-frames:v', 1, @x264, "$dir/one.mp4");
    for my $format (qw(webm mov mp4 gif webp zip)) {
        my ($out, $text) = matte($in, "one.$format", '--background', 'black');
        like $text, qr/^frames=1$/m, "$format: one frame";
        my ($status, $seen) = $format eq 'zip' ? command('unzip', '-tq', $out) : command('ffmpeg', '-v', 'error', '-i', $out, '-f', 'null', '-');
        is $status . ($format eq 'zip' ? '' : $seen), '0', "$format: can be read";
    }
};

case 'nearer together than a tick' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=120:duration=0.5', @x264, "$dir/fast.mp4");
    my ($out) = matte($in, 'fast.gif');
    my @ticks = map { unpack 'v' } slurp($out) =~ /!\xf9\x04.(..).\0,/gs;    # ffprobe says ten where they are fewer than two
    is scalar(grep { $_ < 2 } @ticks), 0, 'a GIF shows none for less than two ticks';
    cmp_ok scalar(@ticks), '>=', 24, 'and no fewer than fit';
    my ($webm) = matte($in, 'fast.webm');
    same_times($in, $webm);
};

# ---- shape ----

case 'rotation and oblong pixels, in a format without either' => sub {
    my $wide = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=0.2,setsar=4/3', @x264, "$dir/sar.mp4");
    my $in = made('-i', $wide, '-c', 'copy', '-metadata:s:v', 'rotate=90', "$dir/turned.mp4");
    for my $format (qw(mov mp4 gif)) {
        my ($out) = matte($in, "turned.$format", '--background', 'black');
        is stream($out, 'v:0', 'width') . 'x' . stream($out, 'v:0', 'height'), '90x214', 'upright, square';
        like stream($out, 'v:0', 'sample_aspect_ratio'), qr{^(?:1:1|N/A)$}, 'pixels are square';
        is stream($out, 'v:0', 'rotate'), '', 'no matrix is left';
    }
};

case 'odd sizes, down to one pixel, in every format' => sub {
    for my $size ('33x17', '1x1') {
        my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.2', '-vf', "scale=$size", '-c:v', 'ffv1', '-pix_fmt', 'yuv444p',
            "$dir/odd.mkv");
        for my $format (qw(mov mp4 gif webp zip)) {
            my ($out, $text) = matte($in, "odd.$format", '--background', 'black');
            like $text, qr/^frames=2$/m, "$size in $format: both frames";
        }
    }
};

# ---- colour ----

# Mean R, G, B around the middle of the first frame of a picture that the network takes for background, over nothing:
# what lies under alpha 0 is filled, so a canvas would show it; an opaque subject is needed. The webcam's face is one.
my $face = '30:30:185:150';

sub face_color {
    my ($file, @input) = @_;
    my @rgb = unpack 'C*', raw_video($file, "select=eq(n\\,4),crop=$face:exact=1,scale=1:1:flags=area", 'rgb24', @input);
    return @rgb[0 .. 2];
}

sub near {
    my ($got, $want, $most, $name) = @_;
    my $off = max map { abs $got->[$_] - $want->[$_] } 0 .. 2;
    cmp_ok $off, '<=', $most, "$name (@$got, not @$want)";
    return;
}

my $head = made('-i', cache() . '/clips/webcam.mp4', '-frames:v', 6, '-c:v', 'libx264', '-qp', 8, "$dir/head.mp4");
my @skin = face_color($head);

case 'full range' => sub {
    my $in = made('-i', $head, '-vf', 'scale=out_range=full,format=yuvj420p', @x264, '-qp', 8, "$dir/full.mp4");
    like stream($in, 'v:0', 'color_range'), qr/pc/, 'the source is';
    my ($out) = matte($in, 'full.out.mp4', '--background', 'black');
    is stream($out, 'v:0', 'color_range'), 'tv', 'the output is not';
    near([face_color($out)], \@skin, 6, 'its colours stay');
};

case '10 bits and 4:4:4' => sub {
    my $in = made('-i', $head, '-c:v', 'libx265', '-x265-params', 'log-level=none:qp=8', '-pix_fmt', 'yuv444p10le', "$dir/ten.mp4");
    my ($out) = matte($in, 'ten.out.mp4', '--background', 'black');
    is stream($out, 'v:0', 'pix_fmt'), 'yuv420p', '8 bits of 4:2:0';
    near([face_color($out)], \@skin, 6, 'its colours stay');
};

# The same picture as PQ and as HLG would carry it, white at 203 cd/m2.
for my $transfer (['smpte2084', 'PQ'], ['arib-std-b67', 'HLG']) {
    case "high range: $transfer->[1]" => sub {
        my $in = made('-i', $head, '-vf', 'zscale=transferin=bt709:matrixin=smpte170m:primariesin=bt709:transfer=linear:primaries=bt709,'
            . "format=gbrpf32le,zscale=primaries=bt2020:transfer=$transfer->[0]:matrix=bt2020nc:npl=203:range=limited,format=yuv420p10le",
            '-c:v', 'libx265', '-x265-params', "log-level=none:qp=8:colorprim=bt2020:transfer=$transfer->[0]:colormatrix=bt2020nc", "$dir/high.mp4");
        is stream($in, 'v:0', 'color_transfer'), $transfer->[0], 'the source is';
        my ($out) = matte($in, 'high.out.mp4', '--background', 'black');
        is stream($out, 'v:0', 'color_transfer'), 'bt709', 'the output is not';
        near([face_color($out)], \@skin, 6, 'the subject looks as it did');
    };
}

# How much rows of the face differ from the next one, for what they differ from the one after it, in the second picture.
sub combs {
    my ($file) = @_;
    my ($w, $h) = (80, 120);
    my @grey = unpack 'C*', raw_video($file, "select=eq(n\\,1),extractplanes=y,crop=$w:$h:150:100:exact=1", 'gray');
    my ($next, $after) = map { my $far = $_ * $w; sum0(map { abs $grey[$_] - $grey[$_ + $far] } 0 .. $w * ($h - 2) - 1) } 1, 2;
    return $next / $after;
}

case 'interlaced' => sub {
    my $bar = 'nullsrc=size=320x240:rate=50:duration=0.4,geq=lum=\'if(between(X-mod(N*16\\,300)\\,0\\,24)\\,235\\,16)\':cb=128:cr=128,format=yuv420p';
    my $in = made('-f', 'lavfi', '-i', $bar, '-vf', 'tinterlace=interleave_top,fieldorder=tff', @x264, '-flags', '+ildct+ilme', '-qp', 4,
        '-x264-params', 'tff=1', "$dir/fields.mp4");
    like stream($in, 'v:0', 'field_order'), qr/tt|tb/, 'the source is';
    my ($out) = matte($in, 'fields.webm');
    same_times($in, $out);
    # a face that moves from field to field
    $in = made('-i', cache() . '/clips/webcam.mp4', '-frames:v', 6, '-vf', "crop=360:300:'4*n':0,tinterlace=interleave_top,fieldorder=tff",
        @x264, '-flags', '+ildct+ilme', '-qp', 4, '-x264-params', 'tff=1', "$dir/face.mp4");
    my ($before, $after) = map { combs($_) } $in, (matte($in, 'face.mp4.mp4', '--background', 'black'))[0];
    cmp_ok $before, '>', 1, 'its rows differ more from the next than from the one after it';
    cmp_ok $after, '<', .9, sprintf "and no more (%.2f, %.2f)", $before, $after;
};

# ---- streams ----

case 'cover art beside a video' => sub {
    my $video = made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=0.5', @x264, "$dir/v.mp4");
    my $cover = made('-f', 'lavfi', '-i', 'color=red:s=300x300', '-frames:v', 1, "$dir/cover.png");
    my $in = made('-i', $cover, '-i', $video, '-map', 0, '-map', 1, '-c', 'copy', '-disposition:v:0', 'attached_pic', "$dir/covered.mp4");
    my ($out) = matte($in, 'covered.webm');
    is stream($out, 'v:0', 'width'), 160, 'the video is taken';
    is scalar(frame_times($out)), 5, 'all of it';
};

case 'sound of eight channels' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=1', '-f', 'lavfi', '-i', $tone, @x264, '-af',
        'pan=7.1|' . join('|', map { "c$_=c0" } 0 .. 7), '-c:a', 'flac', "$dir/eight.mkv");
    for my $format (qw(webm mp4)) {
        my ($out, $text) = matte($in, "eight.$format", '--background', 'black');
        is stream($out, 'a:0', 'channels'), 8, 'eight';
        av_error($in, $out);
    }
};

case 'the size changes in the middle, in a format of one size' => sub {
    made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10:duration=0.5', @x264, "$dir/s1.ts");
    made('-f', 'lavfi', '-i', 'testsrc2=size=320x90:rate=10:duration=0.5', @x264, '-output_ts_offset', 0.5, "$dir/s2.ts");
    my $in = spew("$dir/sizes.ts", slurp("$dir/s1.ts") . slurp("$dir/s2.ts"));
    my ($out) = matte($in, 'sizes.mov');
    is scalar(frame_times($out)), 10, 'all frames';
};

case 'cut in the middle, in a format whose index is last' => sub {
    my $whole = slurp(made('-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2', @x264, '-g', 5, "$dir/uncut.ts"));
    my $in = spew("$dir/half.ts", substr $whole, 0, int length($whole) / 2);
    my ($out, $text) = matte($in, 'half.mp4', '--background', 'black');
    my $frames = frame_times($out);
    ok $frames > 10 && $frames < 45, "what is there is made ($frames frames of 50)";
};

# ---- what is to be seen ----

# Where nobody is, what the network says a little of is not stretched: neither noise nor what a dark picture is brightened to.
case 'a wall with nobody before it, lit and in the dark' => sub {
    my $dark = "lutyuv=y='16+(val-16)*.3':u='128+(val-128)*.3':v='128+(val-128)*.3',noise=alls=8:allf=t";
    for (['lit', 'null'], ['dark', $dark]) {
        my ($name, $filter) = @$_;
        my $in = made('-i', cache() . '/clips/webcam.mp4', '-frames:v', 5, '-vf', "crop=110:120:0:0,scale=320:240,format=yuv444p,$filter",
            '-c:v', 'ffv1', "$dir/$name.mkv");
        for my $model (qw(light human)) {
            my ($most, $alone) = map {
                my ($out) = matte($in, "$name.mov", '--model', $model, @$_);
                max unpack 'C*', raw_video($out, 'alphaextract', 'gray');
            } [], [map { ('--without', $_) } qw(calm clean edges colors guide)];
            cmp_ok $most, '<=', $alone, "$name, $model: alpha is nowhere above the network's greatest ($most, $alone of 255)";
            cmp_ok $most, '<=', 25, "$name, $model: and at most a tenth";
        }
    }
};

# ---- bombs, and what is not read ----

case 'a picture of 65535x65535 in 65 bytes' => sub {
    # one pixel's worth of data: the size alone must be refused
    refused(spew("$dir/bomb.gif", "GIF89a" . pack('vvC3', 65535, 65535, 0x80, 0, 0) . "\0\0\0\xff\xff\xff"
        . pack('Cv4C', 0x2c, 0, 0, 65535, 65535, 0) . "\x02\x02\x44\x01\0;"), 'too_large');
};

case 'a size that jumps to 71 megapixels in the middle' => sub {
    made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.5', @x264, "$dir/b1.ts");
    made('-f', 'lavfi', '-i', 'color=black:s=8704x8192:r=10', '-frames:v', 1, @x264, '-output_ts_offset', 0.5, "$dir/b2.ts");
    refused(spew("$dir/jump.ts", slurp("$dir/b1.ts") . slurp("$dir/b2.ts")), 'too_large');
};

# An animated WebP, whose pictures are given as [bytes of its VP8 or VP8L chunk, ms]; of a canvas of this size.
sub webp {
    my ($name, $width, $height, @pictures) = @_;
    my $long = sub { substr pack('V', $_[0]), 0, 3 };
    my $chunk = sub { my ($tag, $data) = @_; return $tag . pack('V', length $data) . $data . ("\0" x (length($data) % 2)) };
    my $body = 'WEBP' . $chunk->('VP8X', pack('V', 2) . $long->($width - 1) . $long->($height - 1))
        . $chunk->('ANIM', "\0" x 6)
        . join '', map { my ($data, $ms, $w, $h) = @$_;
            $chunk->('ANMF', $long->(0) x 2 . $long->(($w // $width) - 1) . $long->(($h // $height) - 1) . $long->($ms) . "\0" . $data) } @pictures;
    return spew("$dir/$name", 'RIFF' . pack('V', length $body) . $body);
}

# The chunk of a still picture.
sub webp_picture {
    my ($size) = @_;
    my $still = made('-f', 'lavfi', '-i', "testsrc2=s=$size", '-frames:v', 1, '-c:v', 'libwebp', '-lossless', 1, "$dir/still.webp");
    return substr slurp($still), 12;
}

case 'an animated WebP' => sub {
    my $in = webp('in.webp', 64, 48, map { [webp_picture('64x48'), $_] } 40, 130, 5, 70);
    my ($out, $text) = matte($in, 'webp.webm');
    like $text, qr/^frames=4$/m, 'every picture';
    is join(' ', map { sprintf '%.3f', $_ } frame_times($out)), '0.000 0.040 0.170 0.270', 'at its time, what is too short as browsers show it';
    ($out, $text) = matte($in, 'preview.webm', '--preview', 0.1);
    like $text, qr/^frames=2$/m, 'its beginning';
    for (['', 'the subject looks as it did', 6], [',colorchannelmixer=aa=.5', 'what is half transparent lies over black', 12]) {
        my ($filter, $name, $most) = @$_;
        my $half = made('-i', $head, '-vf', "format=rgba$filter", '-c:v', 'libwebp_anim', '-lossless', 1, "$dir/face.webp");
        ($out) = matte($half, 'face.mp4', '--background', 'black');
        near([face_color($out)], [map { $filter ? $_ / 2 : $_ } @skin], $most, $name);
    }
};

case 'a WebP that is no animation, or no more' => sub {
    my $whole = webp('whole.webp', 64, 48, map { [webp_picture('64x48'), 40] } 1 .. 3);
    refused("$dir/still.webp", 'unreadable_media', qr/WebP image: of images only GIF and animated WebP/);
    refused(spew("$dir/cut.webp", substr slurp($whole), 0, -40), 'unreadable_media', qr/its end is missing/);
    my $bytes = slurp($whole);
    substr $bytes, $_, 8, "\xff" x 8 for 90, 190, 290;    # inside the pictures
    refused(spew("$dir/broken.webp", $bytes), '(?:decode_error|unreadable_media)');
};

case 'WebP animations that are too much' => sub {
    my $dot = webp_picture('16x16');
    refused(webp('wide.webp', 16384, 16384, [$dot, 40, 16, 16]), 'too_large');
    refused(webp('many.webp', 16, 16, ([$dot, 0]) x 20001), 'too_long', qr/20001 pictures/);
};

case 'an animated GIF with transparency' => sub {
    my $in = made('-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=10:duration=0.5', '-filter_complex',
        'format=rgba,colorchannelmixer=aa=0.4,split[a][b];[a]palettegen[p];[b][p]paletteuse', "$dir/in.gif");
    my ($out) = matte($in, 'gif.webm');
    same_times($in, $out);
};

printf "inputs.cases=%d\ninputs.failed=%d\ninputs.av_error_ms_max=%.1f\n", $cases, $failed, $av_max;
done_testing;
