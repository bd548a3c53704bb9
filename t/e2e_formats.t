#!/usr/bin/perl
# Every output format, a canvas and an image background through the whole product: by HTTP, by the sandboxed worker.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Matte::Media;
use Matte::Stack;
use Matte::Test;
use Test::More;

my $stack = Matte::Stack->start(backoff => 0.05, engine => {image_max_bytes => '20k'});
my $dir = workspace();
my $key = $stack->key('acme');
my $webcam = $stack->serve($stack->webcam);
my %clip = (video_url => $webcam, preview_duration => 0.2);

# A job to its end.
sub job { return $stack->finished($key, $stack->create($key, %clip, @_)); }

# The same with options as the API stores them; how a client says them is for the API's own tests.
sub job_with {
    my (%options) = @_;
    my $id = $stack->create($key, %clip, auto_start => JSON::PP::false);
    $stack->postgres->psql("UPDATE matte.job SET options = options || '" . encode_json(\%options) . "' WHERE id = '$id'");
    is +($stack->call(POST => "/v1/jobs/$id/start", key => $key, body => {}))[0], 200, 'started';
    return $stack->finished($key, $id);
}

# ---- formats ----

for (
    # format, background, Content-Type, what ffprobe sees
    [webm => 'transparent', 'video/webm', 'vp9'], [mov => 'transparent', 'video/quicktime', 'prores'],
    [mp4 => 'green', 'video/mp4', 'h264'], [gif => 'transparent', 'image/gif', 'gif'],
    [webp => 'transparent', 'image/webp', undef], [png_sequence => 'transparent', 'application/zip', undef],
) {
    my ($format, $background, $type, $codec) = @$_;
    subtest $format => sub {
        my $job = job(output_format => $format, bg_type => $background);
        is $job->{status}, 'completed', 'completed' or return diag($job->{error});
        is $job->{output}{frames}, 5, 'five frames';
        is "$job->{output}{width}x$job->{output}{height}", '400x300', 'of the source\'s size';
        cmp_ok abs($job->{duration_seconds} - .2), '<', .01, 'duration_seconds';
        my $head = HTTP::Tiny->new->head($job->{output_url});
        is $head->{headers}{'content-type'}, $type, $type;
        my $file = $stack->download($job);
        is -s $file, $job->{output}{bytes}, 'output.bytes';
        is stream($file, 'v:0', 'codec_name'), $codec, $codec if $codec;
        like slurp($file), qr/^RIFF....WEBP/s, 'a WebP file' if $format eq 'webp';
        is +(command('unzip', '-tq', $file))[0], 0, 'a zip file' if $format eq 'png_sequence';
    };
}

# ---- alpha ----

subtest 'the alpha, too' => sub {
    my $job = job(output_format => 'mp4', bg_type => 'green', alpha => JSON::PP::true);
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $answer = HTTP::Tiny->new->get($job->{alpha_url});
    is $answer->{headers}{'content-type'}, 'video/mp4', 'video/mp4';
    is length $answer->{content}, $job->{output}{alpha_bytes}, 'output.alpha_bytes';
    is sha256_hex($answer->{content}), $job->{output}{alpha_sha256}, 'output.alpha_sha256';
    my $file = spew("$dir/alpha.mp4", $answer->{content});
    is join(' ', frame_times($file)), join(' ', frame_times($stack->download($job))), 'at the output\'s times';
    my @grey = unpack 'C*', raw_video($file, 'select=eq(n\,0),extractplanes=y', 'gray');
    ok $grey[200 * 400 + 205] > 250 && $grey[0] < 5, 'white where the face is, black where the wall is';
    is job()->{alpha_url}, undef, 'no other job has one';
};

# ---- composition ----

# R, G, B of a pixel of the first frame.
sub pixel {
    my ($file, $x, $y) = @_;
    return unpack 'C3', raw_video($file, "select=eq(n\\,0),format=rgb24,crop=1:1:$x:$y:exact=1", 'rgb24');
}

subtest 'a canvas with an image behind it' => sub {
    my $image = $stack->serve(made('-f', 'lavfi', '-i', 'color=red:s=60x60', '-f', 'lavfi', '-i', 'color=blue:s=60x60',
        '-filter_complex', '[0][1]hstack', '-frames:v', 1, "$dir/image.png"));
    my $job = job_with(background => {type => 'image', image_url => $image},
        composition => {canvas => {width => 300, height => 400},
            foreground => {anchor => 'bottom-center', scale => 1.5, offset => {x => 0, y => 0}}});
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    is "$job->{output}{width}x$job->{output}{height}", '300x400', 'the canvas\' size';
    my $file = $stack->download($job);
    my @left = pixel($file, 10, 10);
    my @right = pixel($file, 290, 10);
    ok $left[0] > 220 && $left[2] < 40, "red on the left (@left)";
    ok $right[2] > 220 && $right[0] < 40, "blue on the right (@right): cropped, not stretched";
    my @chest = pixel($file, 150, 390);
    ok abs($chest[0] - $chest[2]) < 120, "the subject at the bottom (@chest)";
};

subtest 'what is wrong is said' => sub {
    my $origin = $stack->origin->base;
    my $text = $stack->serve(spew("$dir/text.png", "This is no image.\n"));
    my $large = $stack->serve(made('-f', 'lavfi', '-i', 'nullsrc=s=200x200,geq=random(1)*255:128:128', '-frames:v', 1, "$dir/large.png"));
    my %size = (composition => {canvas => {width => 7680, height => 7680}});
    for (
        ['an image that is none', 'unreadable_image', background => {type => 'image', image_url => $text}],
        ['an image that is not there', 'fetch_4xx', background => {type => 'image', image_url => "$origin/404"}],
        ['an image of a private address', 'url_denied', background => {type => 'image', image_url => 'http://127.0.0.1:1/a.png'}],
        ['an image of too many bytes', 'too_large', background => {type => 'image', image_url => $large}],
        ['a canvas of too many pixels', 'too_large', %size],
    ) {
        my ($name, $code, @fields) = @$_;
        my $job = job_with(@fields);
        is $job->{status}, 'failed', "$name: failed";
        is $job->{error_code}, $code, "$name: $code";
        like $job->{error}, qr/^(?:background\.image_url|composition\.canvas)\b.*\.$/s, "$name: names the field ($job->{error})";
    }
};

is $stack->postgres->psql('SELECT count(*) FROM matte.violation'), 0, 'no row breaks an invariant';
$stack->stop;
done_testing;
