#!/usr/bin/perl
# A cancel, at every point of a job's life: it ends at once where nothing works on it, within a heartbeat or a ring of the
# doorbell where something does; the credits go back, nothing stays on disk, and the client is told once.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Matte::Engine;
use Matte::Jobs;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Socket qw(AF_UNIX SOCK_SEQPACKET pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(time);

my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir);
mkdir "$dir/www";
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my $key = $pg->admin_key('acme', credits => 1000);
my $jobs = Matte::Jobs->new($pg, $key);
sub engine {
    my (%times) = @_;
    return Matte::Engine->start($dir, fake => 1, database => $pg->conninfo('matte_engine'), state => $state,
        egress_allow => '127.0.0.1/32:' . $origin->port, extra => \%times);
}

# heartbeats so rare that only the doorbell explains a quick end
my $engine = engine(lease => '40s', heartbeat => '10s');

my $scripts = 0;
sub script {
    my (@lines) = @_;
    my $name = 'script' . ++$scripts;
    spew("$dir/www/$name", join '', map { "$_\n" } @lines);
    return job($origin->base . "/$name");
}

# Started, with a webhook, unless start is 0.
sub job {
    my ($url, $start) = @_;
    chomp(my $id = $pg->psql('SELECT gen_random_uuid()'));
    my $outcome = $pg->psql(sprintf q{SELECT outcome FROM matte.api_create('\x%s', NULL, '\x00', '%s', 'human', 'webm', '%s',
        'http://10.0.0.1/', NULL, NULL, %s, 'req', 201, '{}')}, sha256_hex($key), $id, $url, $start // 1 ? 'true' : 'false');
    die $outcome if $outcome ne 'ok';
    return $id;
}

# As the module does: the call, then the ring. What the call says the job is.
sub cancel {
    my ($id) = @_;
    my $status = $pg->psql(sprintf q{SELECT status FROM matte.api_cancel('\x%s', '%s')}, sha256_hex($key), $id);
    socket my $bell, AF_UNIX, SOCK_SEQPACKET, 0 or die "socket: $!";
    connect $bell, pack_sockaddr_un($engine->socket) or die "connect: $!";
    send $bell, "cancel 1 $id", 0;
    recv $bell, my $answer, 128, 0;
    is $answer, '1 ok', 'the bell is heard';
    return $status;
}

sub events { return $pg->psql("SELECT string_agg(event, ' ' ORDER BY seq) FROM matte.webhook_delivery WHERE job_id = '$_[0]'") }

sub is_over {
    my ($id, $ledger, $events) = @_;
    is $jobs->ledger($id), $ledger, 'credits';
    is events($id), $events, 'webhooks';
    ok wait_for { !glob "$state/tmp/*.out" } 5, 'nothing is left on disk';
    is_deeply [glob "$state/outputs/*/$id/*"], [], 'and no output';
    is $pg->psql("SELECT held FROM matte.credit_account"), 0, 'nothing is held';
    return;
}

sub works {
    my ($what, $id, $event, $ledger) = @_;
    subtest $what => sub {
        $jobs->reaches($id, 'processing');
        wait_for { $event->($id) } 10, $what;
        my $asked = time;
        is cancel($id), 'processing', 'a wish';
        is $jobs->over($id)->{status}, 'cancelled';
        cmp_ok time - $asked, '<', 5, 'long before the next heartbeat';
        is_over($id, $ledger, 'job.started job.cancelled');
        is cancel($id), 'cancelled', 'again: nothing is left to do';
        is scalar(grep { $_ eq 'job.cancelled' } split ' ', events($id)), 1, 'and it is told once';
    };
    return;
}

sub logged { my ($event) = @_; return sub { $engine->events($event, job_id => $_[0]) } }

works('while the video is fetched', job($origin->base . '/hang'), logged('job_claimed'), '');
works('while the worker reads it', script('sleep 30000'), logged('job_input'), '');
works('while it works', script('probe 100 2000', 'progress 40', 'write half', 'sleep 30000'), logged('job_probed'), 'hold release');

subtest 'a draft' => sub {
    my $id = job($origin->base . '/none', 0);
    is cancel($id), 'cancelled', 'at once';
    is_over($id, '', 'job.cancelled');
};

subtest 'one that waits' => sub {
    my $busy = script('probe 10 2000', 'sleep 30000');
    $jobs->reaches($busy, 'processing');
    my $id = script('probe 10 2000', 'write x', 'done 10 2000');
    is $jobs->job($id)->{status}, 'pending';
    is cancel($id), 'cancelled', 'at once';
    is $jobs->ledger($id), '';
    is events($id), 'job.cancelled';
    cancel($busy);
    is $jobs->over($busy)->{status}, 'cancelled';
    ok !$engine->events('job_claimed', job_id => $id), 'and was never begun';
};

subtest 'one that waits for its second attempt' => sub {
    my $id = script('probe 10 2000', 'fail gpu_error 1 Again.');
    wait_for { $jobs->job($id)->{last_error} } 10, 'the first attempt';
    is $jobs->job($id)->{billing_status}, 'held', 'its credits are held';
    is cancel($id), 'cancelled';
    is_over($id, 'hold release', 'job.started job.cancelled');
};

subtest 'one that is over' => sub {
    my $id = script('probe 10 2000', 'write x', 'done 10 2000');
    is $jobs->over($id)->{status}, 'completed';
    is cancel($id), 'completed', 'completed stays completed';
    is $jobs->ledger($id), 'hold capture', 'and charged';
    is events($id), 'job.started job.completed';
    ok -s "$state/outputs/" . $jobs->job($id)->{output_key}, 'with its output';
    $id = script('fail no_video_stream 0 The file has no video.');
    is $jobs->over($id)->{status}, 'failed';
    is cancel($id), 'failed', 'failed stays failed';
    is events($id), 'job.started job.failed';
};

subtest 'without a ring' => sub {
    is $engine->stop, 0;
    $engine = engine(lease => '2s', heartbeat => '500ms');
    my $id = script('probe 100 2000', 'sleep 30000');
    wait_for { $engine->events('job_probed', job_id => $id) } 10, 'the work';
    $pg->psql(sprintf q{SELECT matte.api_cancel('\x%s', '%s')}, sha256_hex($key), $id);
    my $asked = time;
    is $jobs->over($id)->{status}, 'cancelled', 'the next heartbeat sees it';
    cmp_ok time - $asked, '<', 3;
    is_over($id, 'hold release', 'job.started job.cancelled');
};

subtest 'an engine that died with it' => sub {
    my $id = script('probe 100 2000', 'write half', 'sleep 30000');
    wait_for { $engine->events('job_probed', job_id => $id) } 10, 'the work';
    $engine->kill9;
    is $pg->psql(sprintf q{SELECT status FROM matte.api_cancel('\x%s', '%s')}, sha256_hex($key), $id), 'processing';
    $engine = engine(lease => '2s', heartbeat => '500ms');
    is $jobs->over($id)->{status}, 'cancelled', 'the reaper sees it';
    is_over($id, 'hold release', 'job.started job.cancelled');
};

is $engine->stop, 0;
is $jobs->violations, '', 'no invariant was broken';
$pg->stop;
done_testing;
