#!/usr/bin/perl
# Clips of every kind through the processor and through a card, emulated by t/gpu: what both make before encoding is
# compared, both being given the same answer of a network. Which of them NVDEC decodes is known, too.
use strict;
use warnings;
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my ($gpu, $engine) = ("$root/build/gpu", "$root/build/engine");
if (!-e "$gpu/libcuda.so.1") {
    die "the emulated drivers are not built, and CI must have them\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit: neither device/cuda nor the emulated drivers are built';
}
my $frames = 3;

sub ffmpeg {
    my ($file, @args) = @_;
    run_ok("made $file", 'ffmpeg', qw(-hide_banner -v error -nostdin -y), @args, "$dir/$file");
    return "$dir/$file";
}

# Moving shapes of this size, with film grain for the codes to be any.
sub shapes {
    my ($file, $size, @encode) = @_;
    return ffmpeg($file, '-f', 'lavfi', '-i', "testsrc2=size=$size:rate=10,noise=alls=12:allf=t", '-frames:v', $frames, @encode);
}

my @x264 = qw(-c:v libx264 -preset fast -pix_fmt yuv420p);
my @x265 = qw(-c:v libx265 -preset fast -x265-params log-level=none);
my @vp9 = qw(-c:v libvpx-vp9 -cpu-used 8 -deadline realtime);
my @hd = qw(-color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709);
my ($nvdec, $upload) = (1, 0);

# By what they are, who decodes them, and the file.
my @clips = (
    ['a webcam', $nvdec, ffmpeg('webcam.mp4', '-i', cache() . '/clips/webcam.mp4', '-frames:v', $frames, qw(-an -c copy))],
    ['B-frames', $nvdec, shapes('b.mp4', '322x182', @x264, qw(-bf 3))],
    ['one frame', $nvdec, ffmpeg('one.mp4', qw(-f lavfi -i testsrc2=size=320x180 -frames:v 1), @x264)],
    ['portrait', $nvdec, shapes('portrait.mp4', '182x322', @x264)],
    ['BT.709, 720 lines', $nvdec, shapes('709.mp4', '1280x720', @x264, @hd)],
    ['BT.601 in 720 lines', $nvdec, shapes('601.mp4', '1280x720', @x264, qw(-colorspace smpte170m))],
    ['full range', $upload, shapes('full.mp4', '322x182', qw(-c:v libx264 -pix_fmt yuvj420p))],
    ['rotated', $upload, ffmpeg('rotated.mp4', '-i', shapes('upright.mp4', '322x182', @x264), qw(-c copy -metadata:s:v:0 rotate=90))],
    ['pixels of 4:3', $upload, shapes('aspect.mp4', '320x180', qw(-vf setsar=4/3), @x264)],
    ['interlaced', $nvdec, shapes('fields.mp4', '320x180', qw(-vf tinterlace=interleave_top -flags +ildct+ilme -x264opts tff=1), @x264)],
    ['another size in the middle', $nvdec, do {
        ffmpeg('1.ts', '-i', "$dir/upright.mp4", qw(-c copy -bsf:v h264_mp4toannexb));
        shapes('2.ts', '240x320', @x264, qw(-output_ts_offset 10));
        spew("$dir/sizes.ts", slurp("$dir/1.ts") . slurp("$dir/2.ts"));
    }],
    ['HEVC', $nvdec, shapes('hevc.mp4', '322x182', @x265, qw(-pix_fmt yuv420p))],
    ['HEVC of 10 bits', $nvdec, shapes('hevc10.mp4', '322x182', @x265, qw(-pix_fmt yuv420p10le))],
    ['HEVC of high range', $nvdec, shapes('hdr.mp4', '322x182', @x265, qw(-pix_fmt yuv420p10le -color_trc smpte2084
        -color_primaries bt2020 -colorspace bt2020nc))],
    ['VP9 of odd size', $nvdec, shapes('vp9.webm', '322x182', qw(-vf crop=321:181:exact=1), @vp9, qw(-pix_fmt yuv420p))],
    ['VP9 of 10 bits', $nvdec, shapes('vp9-10.webm', '322x182', @vp9, qw(-pix_fmt yuv420p10le))],
    ['AV1', $upload, shapes('av1.mp4', '320x180', qw(-c:v libsvtav1 -preset 12 -pix_fmt yuv420p))],
    ['10 bits of H.264', $upload, shapes('h264-10.mp4', '322x182', qw(-c:v libx264 -pix_fmt yuv420p10le))],
    ['4:2:2 of 10 bits', $upload, shapes('prores.mov', '322x182', qw(-c:v prores_ks))],
    ['odd size, lossless', $upload, shapes('odd.mkv', '322x182', qw(-vf crop=155:93:exact=1 -c:v ffv1 -pix_fmt yuv420p))],
);

my ($compared, $most) = (0, 0);
for my $clip (@clips) {
    my ($what, $by_nvdec, $in) = @$clip;
    unlink "$dir/trace";
    local %ENV = (%ENV, LD_LIBRARY_PATH => $gpu, CUEMU_KERNELS => "$gpu/kernels/plain.so", CUEMU_TRACE => "$dir/trace",
        CUEMU_LAZY => 1, CUEMU_PROTECT => 1);
    my ($status, $text) = command('timeout', 60, "$engine/gpu/agreement", 2 * $frames, $in);
    is($status, 0, "$what: by both") or diag $text;
    my @ways = $text =~ /^(.*: frames=\d+ most=\d+ over=\d+)$/mg;
    is(scalar @ways, 3, "$what: in three ways");
    is(scalar(() = slurp("$dir/trace") =~ /^nvdec/mg) > 0, $by_nvdec == 1, "$what: decoded where it should be");
    for my $way (@ways) {
        my ($count, $apart) = $way =~ /frames=(\d+) most=(\d+)/;
        cmp_ok($count, '>', 0, "$what: frames are compared");
        cmp_ok($apart, '<=', 1, $way);
        $most = $apart if $apart > $most;
    }
    $compared++ if @ways == 3;
}

done_testing();
print "gpu.clips=$compared\ngpu.max_lsb=$most\n";
