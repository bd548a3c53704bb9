#!/usr/bin/perl
# ./build.sh demo: a real clip through the public API with curl, from an empty machine to a finished video.
use strict;
use warnings;
use File::Path qw(make_path);
use JSON::PP qw(decode_json);
use Matte::Media;
use Matte::Stack;
use Matte::Test;
use Time::HiRes qw(time sleep);

$| = 1;
my $seconds = 4;                     # of the clip
my %box = (face => [195, 160, 24, 24], left => [0, 0, 40, 30], right => [360, 0, 40, 30]);

my $stack = Matte::Stack->start;
my ($base, $key) = ($stack->base, $stack->key('demo'));
my $clip = $stack->serve($stack->webcam);
my @source = grep { $_ < $seconds } frame_times($stack->webcam);

# Runs curl, shows it, and returns what it answered.
sub curl {
    my (@arguments) = @_;
    print '$ curl ', join(' ', map { /[\s"{?&]/ ? "'$_'" : $_ } @arguments), "\n";
    open my $pipe, '-|', 'curl', '-sS', '--fail-with-body', @arguments or die "curl: $!\n";
    my $text = do { local $/; <$pipe> };
    close $pipe or die "curl failed: $text\n";
    return $text;
}

my $began = time;
my $created = curl("$base/v1/jobs", '-H', "X-Api-Key: $key", '-H', 'Content-Type: application/json', '-d',
    qq({"video_url": "$clip", "model": "human", "output_format": "webm", "preview_duration": $seconds}));
print "$created\n";
my $id = decode_json($created)->{id};

my $shown = -1;
my $job = $stack->watch($key, $id, sub {
    my ($now) = @_;
    if ($now->{progress} != $shown) { $shown = $now->{progress}; print "$now->{status} $shown %\n"; }
    return $now->{status} =~ /^(?:completed|failed|cancelled)$/;
}, 600);
die "the job $job->{status}: $job->{error}\n" unless $job->{status} eq 'completed';

my $download = curl("$base/api/download/$id", '-H', "X-Api-Key: $key");
print "$download\n";
my $output = root() . '/build/demo/webcam.webm';
make_path(root() . '/build/demo');
curl(decode_json($download)->{download_url}, '-o', $output);
my $took = time - $began;

my @frames = frame_times($output);
my ($face) = alpha_box($output, @{$box{face}});
my ($corner) = sort { $b <=> $a } map { (alpha_box($output, @{$box{$_}}))[1] } qw(left right);
$stack->stop;

printf "demo.output=%s\ndemo.frames=%d\ndemo.source_frames=%d\ndemo.face_alpha_min=%.3f\ndemo.corner_alpha_max=%.3f\n"
    . "demo.seconds=%.1f\n", $output, scalar @frames, scalar @source, $face, $corner, $took;
