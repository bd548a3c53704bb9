#!/usr/bin/perl
# What dies in the middle of a job, and that the job is finished all the same, once: matted by kill -9, workers, and an
# engine that stands still past its lease and wakes up again.

use strict;
use warnings;
use Matte::Engine;
use Matte::Jobs;
use Matte::Origin;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $state = "$dir/state";
my $pg = Matte::Postgres->start($dir);
$pg->psql('ALTER DATABASE matte SET matte.backoff_scale = 0.02');
mkdir "$dir/www";
my $origin = Matte::Origin->start($dir, root => "$dir/www");
my $jobs = Matte::Jobs->new($pg, $pg->admin_key('acme', credits => 1000));

sub engine {
    my ($name, %extra) = @_;
    return Matte::Engine->start($dir,
        name         => $name,
        fake         => 1,
        database     => $pg->conninfo('matte_engine'),
        state        => $state,
        egress_allow => '127.0.0.1/32:' . $origin->port,
        extra        => {lease => '2s', heartbeat => '500ms', engine_id => $name, %extra});
}

# A job whose first attempt follows one script and whose later attempts follow another.
my $made = 0;
sub twice {
    my ($first, $later) = @_;
    $made++;
    spew("$dir/www/first$made", join '', map { "$_\n" } @$first);
    spew("$dir/www/later$made", join '', map { "$_\n" } @$later);
    return $jobs->create($origin->base . "/first/first$made/then/later$made");
}

sub finished_once {
    my ($id, $content) = @_;
    my $job = $jobs->over($id, 30);
    is $job->{status}, 'completed';
    is $jobs->ledger($id), 'hold capture', 'charged once';
    is slurp("$state/outputs/$job->{output_key}"), $content;
    ok wait_for { !glob "$state/tmp/$id.*" } 5, 'nothing of it is left in tmp/';
    is $jobs->violations, '';
    return $job;
}

subtest 'matted is killed with -9' => sub {
    my $first = engine('first');
    my $id = twice(['probe 10 2000', 'write half', 'sleep 30000'], ['probe 10 2000', 'write whole', 'done 10 2000']);
    wait_for { $first->events('job_probed', job_id => $id) } 10, 'the probe';
    my @workers = $first->workers;
    cmp_ok scalar(@workers), '>', 0;
    is scalar(my @half = glob "$state/tmp/*.out"), 1, 'there is half an output';
    $first->kill9;
    ok wait_for { !grep { running($_) } @workers } 5, 'its workers end with it';
    is $jobs->job($id)->{status}, 'processing';
    my $second = engine('second');
    my $job = finished_once($id, 'whole');
    is_deeply [@$job{qw(lease_no attempt last_error)}], [2, 2, 'engine_lost'];
    is $second->stop, 0;
};

subtest 'matted is killed with -9 at its last step' => sub {
    my $first = engine('first');
    my $id = twice(['probe 10 2000', 'sleep 200', 'write one', 'done 10 2000'],
                   ['probe 10 2000', 'write two', 'done 10 2000']);
    wait_for { $first->events('job_probed', job_id => $id) } 10, 'the probe';
    my $blocker = $pg->session('postgres');
    $blocker->query('BEGIN');
    $blocker->query("SELECT 1 FROM matte.job WHERE id = '$id' FOR UPDATE");
    wait_for { $first->events('job_stored', job_id => $id) } 10, 'the output';
    $first->kill9;
    $pg->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'matte_engine'");
    $blocker->query('ROLLBACK');
    is $jobs->job($id)->{status}, 'processing', 'stored, and not yet said';
    my $second = engine('second');
    my $job = finished_once($id, 'two');
    like $job->{output_key}, qr{/2\.webm$};
    is slurp("$state/outputs/$job->{tenant_id}/$id/1.webm"), 'one', 'the first output is in nobody\'s way';
    is $second->stop, 0;
};

subtest 'a worker is killed' => sub {
    my $engine = engine('first');
    my $id = twice(['probe 10 2000', 'write half', 'sleep 30000'], ['probe 10 2000', 'write whole', 'done 10 2000']);
    wait_for { $engine->events('job_probed', job_id => $id) } 10, 'the probe';
    my ($ready) = $engine->events('worker_ready');
    kill 'KILL', $ready->{pid};
    my $job = finished_once($id, 'whole');
    is_deeply [@$job{qw(lease_no attempt last_error)}], [2, 2, 'worker_crashed'];
    ok running($engine->pid), 'matted lives on';

    # one that is free is replaced
    my ($free) = ($engine->events('worker_ready'))[-1];
    kill 'KILL', $free->{pid};
    ok wait_for { ($engine->events('worker_ready'))[-1]{pid} != $free->{pid} } 10, 'a free one is replaced';
    is $engine->stop, 0;
};

subtest 'an engine that stands still past its lease' => sub {
    my $slow = engine('slow');
    my $id = twice(['probe 10 2000', 'sleep 4000', 'write zombie', 'done 10 2000'],
                   ['probe 10 2000', 'sleep 3000', 'write winner', 'done 10 2000']);
    wait_for { $slow->events('job_probed', job_id => $id) } 10, 'the probe';
    my @workers = $slow->workers;
    kill 'STOP', $slow->pid;                    # its workers go on
    my $quick = engine('quick');
    wait_for { $quick->events('job_claimed', job_id => $id) } 10, 'another engine to take the job';
    kill 'CONT', $slow->pid;
    my $lost = wait_for { $slow->events('lease_lost', job_id => $id) } 5, 'the first to see it';
    is $lost->{lease_no}, 1;
    my $job = finished_once($id, 'winner');
    is $job->{lease_no}, 2;
    ok !-e "$state/outputs/$job->{tenant_id}/$id/1.webm", 'the first stored nothing';
    is $_->stop, 0 for $slow, $quick;
};

subtest 'ten kills' => sub {
    my @ids = map { twice((['probe 10 2000', 'sleep 250', 'write same', 'done 10 2000']) x 2) } 1 .. 8;
    $pg->psql('UPDATE matte.job SET max_attempts = 100 WHERE status = \'pending\'');
    for my $n (1 .. 10) {
        my $engine = engine('killed', lease => '1s', heartbeat => '250ms', workers => 2);
        wait_for { $engine->events('job_claimed') || $engine->events('database_connected') } 10, 'a start';
        select undef, undef, undef, rand 0.5;
        $engine->kill9;
    }
    my $last = engine('last', workers => 2);
    finished_once($_, 'same') for @ids;
    is $last->stop, 0;
};

$origin->stop;
$pg->stop;
done_testing;
