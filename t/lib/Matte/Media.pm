package Matte::Media;

# Looks at finished videos with FFmpeg's own programs, never with the project's code.

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use List::Util qw(min max);

our @EXPORT = qw(frame_times alpha_box stream audio_onset);

sub output_of {
    my (@command) = @_;
    open my $pipe, '-|', @command or croak "$command[0]: $!";
    binmode $pipe;
    my $data = do { local $/; <$pipe> };
    close $pipe or croak "@command: exit $?";
    return $data;
}

# The time of every video frame in seconds, in order.
sub frame_times {
    my ($file) = @_;
    return grep { length } split /[\s,]+/, output_of('ffprobe', '-v', 'error', '-select_streams', 'v:0',
        '-show_entries', 'frame=pts_time', '-of', 'csv=p=0', $file);
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
    chomp $value;
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
