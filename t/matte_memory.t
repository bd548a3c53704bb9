# Memory does not grow with the length: the same clip, looped to 10 s and to 120 s, peaks at the same resident size within
# 2 %. Five frames a second keep the network's share of the time low: 600 frames go through.
#   MATTE_BIN, MATTE_MODELS, MATTE_MODEL_FILES   as in t/matte.t

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Matte::Test;

my $matte = $ENV{MATTE_BIN} // root . '/build/engine/matte';
$ENV{MATTE_MODELS} //= root . '/conf/models';
$ENV{MATTE_MODEL_FILES} //= cache() . '/models';

my $dir = workspace;

# Runs matte on so many seconds; returns the peak of its resident memory in KiB, the frames, and the file's length.
sub peak {
    my ($seconds) = @_;
    my ($in, $out, $log) = map { "$dir/$seconds.$_" } qw(mp4 webm log);
    run_ok("$seconds s of video", qw(ffmpeg -v error -nostdin -f lavfi -i testsrc2=size=256x144:rate=5:duration=10
        -f lavfi -i sine=duration=10 -c:v libx264 -preset ultrafast -c:a aac), "$dir/loop.mp4") if !-e "$dir/loop.mp4";
    run_ok("looped to $seconds s", qw(ffmpeg -v error -nostdin -stream_loop -1 -i), "$dir/loop.mp4", '-t', $seconds, '-c',
        'copy', $in);
    my $pid = spawn($log, $matte, $in, $out);
    my $peak = 0;
    # the status file loses its memory lines when the process has ended, and goes when it is waited for
    wait_for {
        if (open my $status, '<', "/proc/$pid/status") {
            while (<$status>) { $peak = $1 if /^VmHWM:\s+(\d+)/; }
        }
        !running($pid);
    } 300, "the run of $seconds s";
    my ($frames) = slurp($log) =~ /^frames=(\d+)$/m;
    return ($peak, $frames // 0, -s $out);
}

my ($short, $short_frames) = peak(10);
my ($long, $long_frames) = peak(120);
is($short_frames, 50, '10 s: all frames');
is($long_frames, 600, '120 s: all frames');
cmp_ok($long, '<=', $short * 1.02, sprintf 'the peak is the same: %d KiB after 10 s, %d KiB after 120 s (%+.2f %%)', $short,
    $long, ($long / $short - 1) * 100);
diag("memory.short_kib=$short\nmemory.long_kib=$long");
done_testing;
