# One Idempotency-Key is one job, one charge and one answer: for 32 at once, and after a server that died between the
# commit and its answer.
use strict;
use warnings;
use Matte::FakeEngine;
use Matte::Nginx;
use Matte::Parallel;
use Matte::Postgres;
use Matte::Test;
use Test::More;

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my $key = $pg->admin_key('acme');
$pg->psql('UPDATE matte.api_key SET rate_per_min = 1000000, burst = 100000');
my $engine = Matte::FakeEngine->start("$dir/matted.sock");
my @options = ($dir, database => $pg->conninfo('matte_api'), key => $key,
               edit => sub { s/^ *limit_(?:req|conn) .*\n//mg; s/(matte_engine_wait) .*/$1 20s;/; });
my $nginx = Matte::Nginx->start(@options);
my $fields = {video_url => 'https://example.com/a.mp4'};
my ($jobs, $made) = (0, 0);

sub create { my ($idem, $more) = @_; return $nginx->post('/v1/jobs', {%$fields, %{$more // {}}}, 'Idempotency-Key' => $idem); }

# Runs the only job that waits, as an engine would; what the ledger says of it.
sub charge {
    my ($id, $lease, $tenant) = split /\|/, $pg->psql("SELECT id, lease_no, tenant_id FROM matte.job_claim('t', '1 minute')");
    is($pg->psql('SELECT count(*) FROM matte.job_claim(\'t\', \'1 minute\')'), 0, 'no other job waits');
    $pg->psql("SELECT matte.job_hold('$id', $lease, 3000, 90); SELECT matte.job_complete('$id', $lease, 3000,
               '$tenant/$id/$lease.webm', 9, NULL, 2, 2, 90, NULL)");
    $jobs++;
    is($pg->psql("SELECT string_agg(kind || ' ' || abs(d_held), ', ' ORDER BY id) FROM matte.credit_entry WHERE job_id = '$id'"),
       'hold 3000, capture 3000', 'one charge');
    return $id;
}

subtest '32 at once' => sub {
    my @answers = parallel($nginx, 32, undef, sub {
        my $answer;
        wait_for { ($answer = create('many'))->{status} != 409 } 20, 'the first one to end';    # as a client is told to
        return "$answer->{status} $answer->{content}";
    });
    is(scalar @answers, 32, '32 answers');
    is(keys %{tally(@answers)}, 1, 'all the same') or diag(explain(tally(@answers)));
    $made = $pg->psql('SELECT count(*) FROM matte.job');
    is($made, 1, 'one job');
    like($answers[0], qr/^201 .*"id":"@{[charge()]}"/, 'which they all name');
    is(create('many', {model => 'light'})->{json}{error}{code}, 'idempotency_mismatch', 'another body');
};

subtest 'killed between commit and answer' => sub {
    allow_in_logs(qr/exited on signal 9/);
    $engine->say('silence');                # the answer waits for the engine's word: the commit is over
    my @lost = parallel($nginx, 1, undef, sub { return create('lost')->{status} }, sub {
        wait_for { $pg->psql("SELECT 1 FROM matte.idempotency_key WHERE key = 'lost' AND response_code IS NOT NULL") } 10, 'the commit';
        my @workers = $nginx->workers;
        $nginx->stop('KILL');
        finish($_, 'KILL') for @workers;
    });
    is($lost[0], 599, 'the client has no answer');
    $engine->say('pending');
    $nginx = Matte::Nginx->start(@options);
    my @again = map { create('lost') } 1, 2;
    is($_->{status}, 201, 'asked again it has') for @again;
    is($again[0]{headers}{'idempotency-replayed'}, 'true', 'the stored one');
    is($again[1]{content}, $again[0]{content}, 'and again the same');
    is(charge(), $again[0]{json}{id}, 'of the one job');
    is($pg->psql('SELECT count(*) FROM matte.job'), $jobs, 'there is no other');
    is(create('lost', {model => 'light'})->{json}{error}{code}, 'idempotency_mismatch', 'another body');
};

print "idempotency.requests=32\nidempotency.jobs=$made\nidempotency.jobs_after_kill=@{[$jobs - $made]}\n";
done_testing;
