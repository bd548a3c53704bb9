#!/usr/bin/perl
# The whole product: HTTP in, finished video out, through NGINX, PostgreSQL, matted, the sandboxed worker and the network.
use strict;
use warnings;
use JSON::PP;
use List::Util qw(max);
use Matte::Media;
use Matte::Stack;
use Matte::Test;
use Test::More;

my $stack = Matte::Stack->start(backoff => 0.05, engine => {lease => '2s', heartbeat => '500ms'});
my $dir = workspace();
my $key = $stack->key('first');
my $webcam = $stack->serve($stack->webcam);

# ---- a head before a wall, transparent -------------------------------------------------------------------------------

subtest 'the webcam clip, transparent' => sub {
    my $job = $stack->finished($key, $stack->create($key, video_url => $webcam, preview_duration => 2));
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $file = $stack->download($job);

    my @want = grep { $_ < 2 } frame_times($stack->webcam);
    my @got = frame_times($file);
    is scalar @got, scalar @want, 'as many frames as the source has';
    cmp_ok max(map { abs $got[$_] - $want[$_] } 0 .. $#got), '<=', 0.001, 'at the same times';

    my ($face) = alpha_box($file, 195, 160, 24, 24);
    cmp_ok $face, '>', 0.9, 'the face is opaque on every frame';
    cmp_ok((alpha_box($file, @$_))[1], '<', 0.05, "the wall is clear at $_->[0]") for [0, 0, 40, 30], [360, 0, 40, 30];

    is $job->{progress}, 100, 'progress';
    is $job->{output}{frames}, scalar @got, 'output.frames';
    is $job->{output}{bytes}, -s $file, 'output.bytes';
    is $job->{output}{sha256}, (split ' ', `sha256sum $file`)[0], 'output.sha256';
    is "$job->{output}{width}x$job->{output}{height}", '400x300', 'output.width and height';
    is $job->{billing_status}, 'charged', 'charged';
    is $job->{credits}, 1.5, 'two seconds of human at 45 credits a minute';
    cmp_ok abs($job->{duration_seconds} - 2), '<=', 0.041, 'duration_seconds';
};

subtest 'every model by its own network' => sub {
    for (['original', 'isnet_768x768.onnx', 1], ['light', 'u2netp.onnx', .75]) {
        my ($model, $network, $credits) = @$_;
        my @model = $model eq 'original' ? (model => undef) : (model => $model);    # a client that says nothing means it
        my $job = $stack->finished($key, $stack->create($key, video_url => $webcam, preview_duration => 0.1, @model));
        is $job->{status}, 'completed', "$model: completed" or return diag($job->{error});
        is $job->{model}, $model, "$model: its name";
        is $job->{credits}, $credits, "$model: its price";
        is_deeply $job->{warnings}, [], "$model: nothing to warn of";
        is $stack->engine->events('job_probed', job_id => $job->{id})->{network}, $network, "$model: $network";
        wait_for { $stack->engine->events('worker_ready', model => $model) } 60, "a worker that is warm for $model";
        my ($face) = alpha_box($stack->download($job), 195, 160, 24, 24);
        cmp_ok $face, '>', 0.9, "$model: the face is opaque";
    }
};

subtest 'green, as both published clients ask for' => sub {
    my $job = $stack->finished($key, $stack->create($key, video_url => $webcam, preview_duration => 0.4, bg_type => 'green'));
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $file = $stack->download($job);
    my $pixel = `ffmpeg -v error -c:v libvpx-vp9 -i $file -vf crop=2:2:10:10,format=rgb24 -frames:v 1 -f rawvideo -`;
    my ($r, $g, $b) = unpack 'C3', $pixel;
    ok $r < 12 && $g > 243 && $b < 12, "a corner is green ($r $g $b)";
    is stream($file, 'v:0', 'alpha_mode'), '', 'and the video is opaque';
};

subtest 'sound keeps its time' => sub {
    my $source = "$dir/tone.mp4";
    system('ffmpeg', '-v', 'error', '-y', '-t', 2, '-i', $stack->webcam, '-f', 'lavfi', '-i',
        'sine=f=1000:r=48000:d=2,volume=enable=\'lt(t,0.7)\':volume=0', '-c:v', 'copy', '-c:a', 'aac', '-shortest', $source) == 0 or die;
    my $job = $stack->finished($key, $stack->create($key, video_url => $stack->serve($source)));
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $file = $stack->download($job);
    is stream($file, 'a:0', 'codec_name'), 'opus', 'AAC became Opus';
    my $error = abs audio_onset($file) - audio_onset($source);
    cmp_ok $error, '<=', 0.020, sprintf 'the tone starts within 20 ms (%.1f ms)', 1000 * $error;
};

subtest 'an upload as the source' => sub {
    my $id = '6f1c7a52-0a1e-4a39-9b1b-0d6f4d2f7c11';
    my $tenant = $stack->postgres->psql(q(SELECT id FROM matte.tenant WHERE client_id = 'first'));
    system('install', '-D', '-m', '0644', $stack->webcam, "$stack->{state}/uploads/$tenant/$id") == 0 or die;
    system('chmod', '-R', 'a+rX', "$stack->{state}/uploads");
    $stack->postgres->psql("INSERT INTO matte.upload (id, tenant_id, filename, bytes, sha256)
        VALUES ('$id', '$tenant', 'webcam.mp4', " . (-s $stack->webcam) . ", sha256('x'))");
    my $job = $stack->finished($key, $stack->create($key, video_url => "upload://$id", preview_duration => 0.2));
    is $job->{status}, 'completed', 'its owner can use it' or diag($job->{error});
    my $other = $stack->key('second');
    is +($stack->call(POST => '/v1/jobs', key => $other, body => {video_url => "upload://$id"}))[0], 404, 'nobody else can';
};

# ---- whose job it is -------------------------------------------------------------------------------------------------

subtest 'another client' => sub {
    my $id = $stack->create($key, video_url => $webcam, auto_start => JSON::PP::false);
    my $other = $stack->key('second');
    my $unknown = '00000000-0000-4000-8000-000000000000';
    my %fixed = (headers => {'X-Request-Id' => 'same'});
    for my $call ([GET => ''], [POST => '/start']) {
        my ($method, $path) = @$call;
        my @theirs = $stack->call($method, "/v1/jobs/$id$path", key => $other, %fixed, $method eq 'POST' ? (body => {}) : ());
        my @nobody = $stack->call($method, "/v1/jobs/$unknown$path", key => $other, %fixed, $method eq 'POST' ? (body => {}) : ());
        is $theirs[0], 404, "$method $path: 404";
        is $theirs[3], $nobody[3], 'to the byte the answer to an unknown id';
    }
    is +($stack->call(GET => "/v1/jobs/$id"))[0], 401, 'no key';
    is +($stack->call(GET => "/v1/jobs/$id", key => 'mt_live_wrong'))[0], 401, 'a wrong key';
    is +($stack->call(GET => "/v1/jobs/$id", key => $stack->key('first')))[0], 200, 'a second key of the same client';
};

# ---- bad input, each with its own error, and a worker that lives on --------------------------------------------------

subtest 'bad input' => sub {
    my %file = (
        'empty.mp4' => '',
        'text.mp4'  => "This is not a video.\n" x 200,
    );
    spew("$dir/$_", $file{$_}) for keys %file;
    system('ffmpeg', '-v', 'error', '-y', '-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'aac', "$dir/audio.mp4") == 0 or die;
    # cut in the middle: with the index in front, what is there can be read; with the index behind it, nothing can
    for (['half.mp4', '+faststart'], ['cut.mp4', '-faststart']) {
        my ($name, $flags) = @$_;
        system('ffmpeg', '-v', 'error', '-y', '-t', 3, '-i', $stack->webcam, '-c', 'copy', '-movflags', $flags, "$dir/whole.mp4") == 0 or die;
        spew("$dir/$name", substr slurp("$dir/whole.mp4"), 0, int(0.4 * -s "$dir/whole.mp4"));
    }

    my $origin = $stack->origin->base;
    my $closed = free_port();
    my @case = (
        ['a name that does not resolve', 'http://no-such-host.invalid/a.mp4', 'fetch_unreachable'],
        ['a private address',            "http://127.0.0.1:$closed/a.mp4",    'url_denied'],
        ['404 from the source',          "$origin/404",                       'fetch_4xx'],
        ['zero bytes',                   $stack->serve("$dir/empty.mp4"),     'empty_input'],
        ['not a video',                  $stack->serve("$dir/text.mp4"),      'unreadable_media'],
        ['audio only',                   $stack->serve("$dir/audio.mp4"),     'no_video_stream'],
        ['no index, cut in the middle',  $stack->serve("$dir/cut.mp4"),       'unreadable_media'],
    );
    for my $case (@case) {
        my ($name, $url, $code) = @$case;
        my $job = $stack->finished($key, $stack->create($key, video_url => $url));
        is $job->{status}, 'failed', "$name: failed";
        is $job->{error_code}, $code, "$name: $code";
        like $job->{error}, qr/^[A-Z].*\.$/s, "$name: a sentence ($job->{error})";
        like $job->{billing_status} // 'null', qr/^(?:null|released)$/, "$name: nothing is charged";
    }
    my $job = $stack->finished($key, $stack->create($key, video_url => $stack->serve("$dir/half.mp4")));
    is $job->{status}, 'completed', 'cut in the middle: what is there is matted';
    is $job->{warnings}[0]{code}, 'truncated', 'and the job says so';

    is +($stack->call(POST => '/v1/jobs', key => $key, body => 'no json'))[1]{error}{code}, 'invalid_json', 'a body that is not JSON';
    my ($status, $json) = $stack->call(POST => '/v1/jobs', key => $key, body => {video_url => 7});
    is "$status $json->{error}{code} $json->{error}{field}", '400 invalid_request video_url', 'a field of the wrong type';

    $job = $stack->finished($key, $stack->create($key, video_url => $webcam, preview_duration => 0.2));
    is $job->{status}, 'completed', 'and the next good video is matted';
};

# ---- processes die, jobs do not --------------------------------------------------------------------------------------

subtest 'matted is killed in the middle of a job' => sub {
    my $id = $stack->create($key, video_url => $webcam, preview_duration => 2);
    $stack->watch($key, $id, sub { $_[0]{progress} > 10 });
    $stack->engine->kill9;
    $stack->start_engine;
    my $job = $stack->finished($key, $id);
    is $job->{status}, 'completed', 'another run finishes it';
    is scalar(frame_times($stack->download($job))), 50, 'whole';
    is $stack->postgres->psql("SELECT count(*) FROM matte.credit_entry WHERE job_id = '$id' AND kind = 'capture'"), 1, 'charged once';
    is $stack->postgres->psql("SELECT count(*) FROM matte.job_transition WHERE job_id = '$id' AND to_status = 'completed'"), 1, 'finished once';
};

subtest 'nginx is reloaded and its workers are killed' => sub {
    allow_in_logs(qr/\[alert\].*exited on signal 9/);
    my @id = map { $stack->create($key, video_url => $webcam, preview_duration => 0.2) } 1 .. 3;
    $stack->nginx->reload;
    push @id, map { $stack->create($key, video_url => $webcam, preview_duration => 0.2) } 1 .. 2;
    kill 'KILL', $stack->nginx->workers;
    push @id, wait_for { eval { $stack->create($key, video_url => $webcam, preview_duration => 0.2) } } 10, 'nginx to answer again';
    is $stack->finished($key, $_)->{status}, 'completed', "job $_" for @id;
};

is $stack->postgres->psql('SELECT count(*) FROM matte.violation'), 0, 'no row breaks an invariant';
$stack->stop;
done_testing;
