#!/usr/bin/perl
# The whole product with cards, emulated by t/gpu: jobs by HTTP through NGINX, PostgreSQL, matted and its workers, which
# are in their sandbox. What crosses between card and host while a job goes on; and what becomes of jobs where there is no
# card, or one that cannot do the work.
use strict;
use warnings;
use Matte::Media;
use Matte::Stack;
use Matte::Test;
use Test::More;

my ($root, $dir) = (root(), workspace());
my $gpu = "$root/build/gpu";
my ($traces, $once) = (shared(), shared());
if (!-e "$gpu/libcuda.so.1") {
    die "the emulated drivers are not built, and CI must have them\n" if $ENV{CI};
    plan skip_all => 'no CUDA toolkit: neither device/cuda nor the emulated drivers are built';
}

# The environment of a matted that meets the emulated libraries, with these settings of theirs.
sub card {
    my (%settings) = @_;
    my $read = "$gpu:$root/t/data/cards";    # the sandbox leaves the libraries' folders to be read
    return { LD_LIBRARY_PATH => $read, CUEMU_KERNELS => "$gpu/kernels/plain.so", CUEMU_TRACE => "$traces/",
        map { ("CUEMU_$_" => $settings{$_}) } keys %settings };
}

my %keys = (lease => '5s', heartbeat => '500ms', workers => 1, threads => 2, warm => 'human');
my $stack = Matte::Stack->start(backoff => 0.01, engine => { %keys, device => 'cuda:0' }, env => card(LAZY => 1, PROTECT => 1));
my $key = $stack->key('acme');
my $frames = 4;
my $clip = $stack->serve(made(qw(-i), $stack->webcam, '-frames:v', $frames, qw(-an -c copy), "$dir/clip.mp4"));

sub job {
    my (%fields) = @_;
    truncate $_, 0 for glob "$traces/*";    # of workers that wait for a job
    return $stack->finished($key, $stack->create($key, video_url => $clip, %fields));
}

# What a job did on the card, line by line: of the one process that decoded.
sub trace {
    my @with = grep { /^nvdec /m } map { slurp($_) } glob "$traces/*";
    is(scalar @with, 1, 'one worker decoded');
    return split /\n/, $with[0] // '';
}

# Copies between card and host from the first picture decoded to the last one encoded (or to the end): "dtoh frame pinned"
# => [calls, bytes]. A frame's plane has rows; what goes to and from a network that the processor runs is one row.
sub crossings {
    my @lines = @_;
    shift @lines while @lines && $lines[0] !~ /^nvdec /;
    if (grep { /^nvenc / } @lines) { pop @lines while $lines[-1] !~ /^nvenc / }
    my %crossed;
    for my $line (@lines) {
        my ($way, $width, $height, $memory) = $line =~ /^(htod|dtoh) (\d+)x(\d+) (\w+)$/ or next;
        my $kind = join ' ', $way, $height > 1 ? 'frame' : 'network', $memory;
        $crossed{$kind}[0]++;
        $crossed{$kind}[1] += $width * $height;
    }
    return \%crossed;
}

# How often the engine has said so.
sub events { my @said = $stack->engine->events(@_); return scalar @said }

sub count { my ($pattern, @lines) = @_; return scalar grep { /$pattern/ } @lines }

# ---- jobs on a card ----------------------------------------------------------------------------------------------------

my ($host_frames, $host_bytes) = (0, 0);
subtest 'mp4 on a colour' => sub {
    my $job = job(output_format => 'mp4', bg_type => 'green');
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $file = $stack->download($job);
    is stream($file, 'v:0', 'codec_name'), 'h264', 'is H.264';
    is scalar(frame_times($file)), $frames, 'has every frame';
    is_deeply $job->{warnings}, [], 'without a warning';
    my @lines = trace();
    is count(qr/^$_/, @lines), $frames, "$_: once a frame" for 'nvdec ', 'nvenc ', 'launch sample_picture ', 'launch compose ';
    my $crossed = crossings(@lines);
    diag("$_: $crossed->{$_}[0] copies of $crossed->{$_}[1] bytes") for sort keys %$crossed;
    $host_frames = count(qr/ frame /, keys %$crossed);
    $host_bytes += $_->[1] for values %$crossed;
    is_deeply $crossed, {}, 'nothing crosses to the host or from it, neither frames nor what the network sees';
};

subtest 'webm with alpha' => sub {
    my $job = job(output_format => 'webm');
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    my $file = $stack->download($job);
    is stream($file, 'v:0', 'alpha_mode'), '1', 'has alpha';
    my ($face) = alpha_box($file, 195, 160, 24, 24);
    cmp_ok $face, '>', 0.9, 'the face is opaque on every frame';
    my $crossed = crossings(trace());
    is $crossed->{'dtoh frame pinned'}[0], 4 * $frames, 'each plane of a frame came out once, to pinned memory';
    is count(qr/^(?:htod frame|dtoh frame pageable)/, keys %$crossed), 0, 'and frames went no other way';
};

# The next worker is made ready for the model of the last job; what a job holds does not depend on which that was.
subtest 'a network that its worker was not made ready for' => sub {
    my @held;
    for my $ready (qw(human light)) {
        wait_for { events('worker_ready') > events('job_claimed') } 60, 'a worker for each job, and the next one';
        is $stack->engine->events('worker_ready')->{model}, $ready, "which is ready for $ready";
        my $job = job(model => 'light', output_format => 'mp4', bg_type => 'green');
        is $job->{status}, 'completed', 'completed' or return diag($job->{error});
        push @held, $stack->engine->events('worker_holds')->{mib};
    }
    is $held[0], $held[1], "$held[0] MiB are held for light";
    isnt $held[0], ($stack->engine->events('worker_holds'))[0]{mib}, 'others than for human';
};

# ---- where a card cannot do it -----------------------------------------------------------------------------------------

sub restart {
    my ($settings, %more) = @_;
    $stack->engine->stop;
    return $stack->start_engine(env => card(%$settings), extra => { %keys, %more });
}

# auto: the processor does it, and the log says why.
sub by_processor {
    my ($what, $settings, $why) = @_;
    subtest "auto: $what" => sub {
        my $engine = restart($settings, device => 'auto');
        like $engine->events('worker_ready')->{device}, qr/^The processor does all the work\. $why$/, 'the log says why';
        my $job = job(output_format => 'mp4', bg_type => 'green');
        is $job->{status}, 'completed', 'completed' or diag($job->{error});
        is_deeply $job->{warnings}, [], 'without a warning';
        is count(qr/^nvdec/m, map { slurp($_) } glob "$traces/*"), 0, 'without the card';
    };
    return;
}

by_processor('no card', { CARDS => 0 }, qr/There is a CUDA driver here, but no card\./);
by_processor('a driver too old', { DRIVER => 12040 }, qr/The CUDA driver is too old: it is for CUDA 12\.4 .*\./);
by_processor('a card too small', { MEM_MB => 512 }, qr/cuda:0 \(Emulated card\) is too small: .*\./);

subtest 'auto: a video too small for what the card is good at' => sub {
    my $tiny = $stack->serve(made(qw(-f lavfi -i testsrc2=size=64x48:rate=10 -frames:v 3 -c:v libx264 -pix_fmt yuv420p),
        "$dir/tiny.mp4"));
    my $engine = restart({}, device => 'auto');
    like $engine->events('worker_ready')->{device}, qr/^cuda:0 is Emulated card, /, 'there is a card';
    my $job = job(video_url => $tiny, output_format => 'mp4', bg_type => 'green');
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    is $job->{warnings}[0]{code}, 'processor_used', 'with a warning';
    like $engine->events('job_warning')->{err}, qr/^A video of 64x48 is too small for .* on this card\.$/, 'that is in the log';
};

subtest 'no session of NVENC is free' => sub {
    restart({ NVENC_SESSIONS => 0 }, device => 'auto');
    my $job = job(output_format => 'mp4', bg_type => 'green');
    is $job->{status}, 'completed', 'completed' or return diag($job->{error});
    is $job->{warnings}[0]{code}, 'encoder_unavailable', 'with a warning';
    is stream($stack->download($job), 'v:0', 'codec_name'), 'h264', 'by the processor';
    is count(qr/^nvdec /, trace()), $frames, 'from frames of the card';
};

subtest 'the context is lost' => sub {
    spew("$once/lost", '');
    chmod 0666, "$once/lost";
    my $engine = restart({ FAIL => 'cuEventRecord:9:719', FAIL_ONCE => "$once/lost" }, device => 'cuda:0');
    my $job = job(output_format => 'mp4', bg_type => 'green');
    is $job->{status}, 'completed', 'completed, by another worker' or return diag($job->{error});
    my ($failed) = $engine->events('job_attempt_failed');
    is $failed->{code}, 'device_lost', 'the first attempt failed with its own error';
    is count(qr/^nvdec /, map { split /\n/, slurp($_) } glob "$traces/*") >= $frames, 1, 'on the card again';
};

# Two cards, each with room for one job of the largest pictures but not for a second beside any.
subtest 'cards are filled in turn, and what does not fit waits' => sub {
    my $engine = restart({ CARDS => 2, MEM_MB => 1600 }, device => 'cuda', workers => 4, threads => 1);
    wait_for { events('worker_ready') >= 2 } 60, 'two workers';
    my @ids = map { $stack->create($key, video_url => $clip, output_format => 'mp4', bg_type => 'green') } 1 .. 5;
    is $stack->finished($key, $_)->{status}, 'completed', "job $_" for @ids;
    my ($now, $most, %cards) = (0, 0); # a card is free when the job's worker has ended: storing goes on without it
    for my $event ($engine->events(qr/job_claimed|worker_ended/)) {
        $now += $event->{event} eq 'job_claimed' ? 1 : -$event->{served};
        $most = $now if $now > $most;
    }
    is $most, 2, 'two at a time, though there are four workers';
    $_->{device} =~ /^(cuda:\d)/ and $cards{$1}++ for $engine->events('worker_ready');
    is join(' ', sort keys %cards), 'cuda:0 cuda:1', 'on both cards';
};

$stack->stop;
done_testing();
print "gpu.host_crossings=$host_frames\ngpu.host_bytes=$host_bytes\n";
