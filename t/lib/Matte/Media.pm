package Matte::Media;

# Looks at finished videos with FFmpeg's own programs, never with the project's code.

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use List::Util qw(min max);

our @EXPORT = qw(made frame_times packet_durations alpha_box raw_video stream audio_onset psnr);

sub output_of {
    my (@command) = @_;
    open my $pipe, '-|', @command or croak "$command[0]: $!";
    binmode $pipe;
    my $data = do { local $/; <$pipe> };
    close $pipe or croak "@command: exit $?";
    return $data;
}

# A clip made by the ffmpeg program; the last argument is its file, which is returned.
sub made {
    my (@args) = @_;
    system('ffmpeg', '-v', 'error', '-nostdin', '-y', @args) == 0 or croak "ffmpeg @args: exit $?";
    return $args[-1];
}

# The bytes of every frame: filters, pixel format, and what comes before the file.
sub raw_video {
    my ($file, $filters, $format, @input) = @_;
    return output_of('ffmpeg', '-v', 'error', '-nostdin', @input, '-i', $file, '-map', '0:v:0', '-fps_mode', 'passthrough',
        '-vf', $filters, '-f', 'rawvideo', '-pix_fmt', $format, '-');
}

# Of two strings of bytes, in dB; 99 where they are equal.
sub psnr {
    my ($a, $b) = @_;
    croak 'psnr: ' . length($a) . ' and ' . length($b) . ' bytes' if length $a != length $b || !length $a;
    my $sum = 0;
    for (my $at = 0; $at < length $a; $at += 1 << 16) {
        my @a = unpack 'C*', substr $a, $at, 1 << 16;
        my @b = unpack 'C*', substr $b, $at, 1 << 16;
        $sum += ($a[$_] - $b[$_]) ** 2 for 0 .. $#a;
    }
    return $sum ? 10 * log(255 ** 2 * length($a) / $sum) / log 10 : 99;
}

# The time of every video frame in seconds, in order.
sub frame_times {
    my ($file) = @_;
    return grep { length } split /[\s,]+/, output_of('ffprobe', '-v', 'error', '-select_streams', 'v:0',
        '-show_entries', 'frame=pts_time', '-of', 'csv=p=0', $file);
}

# How long every video packet says that it lasts, in seconds.
sub packet_durations {
    my ($file) = @_;
    return grep { length } split /[\s,]+/, output_of('ffprobe', '-v', 'error', '-select_streams', 'v:0',
        '-show_entries', 'packet=duration_time', '-of', 'csv=p=0', $file);
}

# The least and the greatest alpha, 0..1, that any frame has inside a box: x, y, width, height in pixels. Decoded by
# libvpx, as FFmpeg's own VP9 decoder ignores alpha.
sub alpha_box {
    my ($file, $x, $y, $w, $h) = @_;
    my @alpha = unpack 'C*', output_of('ffmpeg', '-v', 'error', '-c:v', 'libvpx-vp9', '-i', $file, '-vsync',
        'passthrough', '-vf', "alphaextract,crop=$w:$h:$x:$y:exact=1", '-f', 'rawvideo', '-pix_fmt', 'gray', '-');
    croak "$file: no alpha" unless @alpha;
    return (min(@alpha) / 255, max(@alpha) / 255);
}

# One entry of a stream ('v:0', 'a:0'): codec_name, width, pix_fmt, ...
sub stream {
    my ($file, $which, $entry) = @_;
    my $value = output_of('ffprobe', '-v', 'error', '-select_streams', $which, '-show_entries', "stream=$entry:stream_tags=$entry",
        '-of', 'csv=p=0', $file);
    $value =~ s/,?\n.*//s;    # a comma stands before side data, of which there is nothing to say
    return $value;
}

# Seconds at which the sound first gets loud (a tone after silence), to 1 ms.
sub audio_onset {
    my ($file) = @_;
    my @s = unpack 's<*', output_of('ffmpeg', '-v', 'error', '-i', $file, '-map', 'a:0', '-af', 'aresample=48000:async=1:first_pts=0',
        '-ac', '1', '-f', 's16le', '-');
    for my $i (0 .. $#s) { return $i / 48000 if abs $s[$i] > 4000; }
    return;
}

1;
