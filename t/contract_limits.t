# Limits of a key: two buckets in memory that all workers share and that a reload keeps, each with a Retry-After that
# holds when it is obeyed; what PostgreSQL counts; the guard against floods without a key.
use strict;
use warnings;
use JSON::PP;
use Matte::Nginx;
use Matte::Parallel;
use Matte::Postgres;
use Matte::Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $dir = workspace();
my $pg = Matte::Postgres->start($dir, fsync => 0);
my %key = map { $_ => $pg->admin_key($_) } qw(burst shared starts queue month revoked);
allow_in_logs(qr/connect\(\) to the engine/);
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), edit => sub {
    s/rate=100r/rate=1000r/;
    s/keepalive_timeout .*/keepalive_timeout 0;/;           # each request meets any worker
});
my $job = {video_url => 'https://example.com/a.mp4'};

sub limits {
    my ($client, $set) = @_;
    return $pg->psql("UPDATE matte.api_key SET $set WHERE tenant_id = (SELECT id FROM matte.tenant WHERE client_id = '$client')");
}
sub list   { my ($client) = @_; return $nginx->get('/v1/jobs', 'X-Api-Key' => $key{$client}); }
sub post   { my ($client, $fields) = @_; return $nginx->post('/v1/jobs', {%$job, %{$fields // {}}}, 'X-Api-Key' => $key{$client}); }

subtest 'Retry-After holds' => sub {
    limits('burst', 'rate_per_min = 60, burst = 3');
    my $refused;
    wait_for { ($refused = list('burst'))->{status} == 429 } 10, 'the end of the burst', 0;
    like($refused->{headers}{'retry-after'}, qr/^[12]$/, 'Retry-After');
    is($refused->{headers}{'ratelimit-policy'}, '"key";q=3;w=3', 'RateLimit-Policy');
    sleep $refused->{headers}{'retry-after'};
    is(list('burst')->{status}, 200, 'obeyed, it succeeds');
};

subtest 'over workers and reloads' => sub {
    limits('shared', 'rate_per_min = 1, burst = 40');
    my $flood = sub { my @status = parallel($nginx, 4, undef, sub { map { list('shared')->{status} } 1 .. 15 }); return tally(@status); };
    my $first = $flood->();
    is_deeply([@$first{200, 429}], [40, 20], 'two workers give no more than one') or diag(explain($first));
    $nginx->reload;
    is_deeply($flood->(), {429 => 60}, 'and a reload forgets nothing');
};

subtest 'starts' => sub {
    limits('starts', 'starts_per_min = 60, starts_burst = 2');
    my @made = map { post('starts') } 1 .. 2;
    my $refused;
    wait_for { ($refused = post('starts'))->{status} == 429 } 10, 'the end of the burst', 0;
    is($refused->{headers}{'ratelimit-policy'}, '"key";q=60;w=6, "starts";q=2;w=2', 'RateLimit-Policy tells both');
    like($refused->{headers}{ratelimit}, qr/^"key";r=\d+;t=\d+, "starts";r=0;t=[12]$/, 'and so does RateLimit');
    my $draft = post('starts', {auto_start => JSON::PP::false});
    is($draft->{status}, 201, 'a draft is no start');
    is($draft->{headers}{'ratelimit-policy'}, '"key";q=60;w=6', 'nor does it tell of them');
    is(list('starts')->{status}, 200, 'nor is a list');
    my $start = sub { $nginx->post("/v1/jobs/$draft->{json}{id}/start", {}, 'X-Api-Key' => $key{starts}) };
    wait_for { post('starts')->{status} == 429 } 10, 'the end of what came back', 0;
    $refused = $start->();
    is($refused->{status}, 429, 'a start is');
    sleep $refused->{headers}{'retry-after'};
    is($start->()->{status}, 200, 'Retry-After holds');
    limits('starts', 'starts_per_min = NULL');
    wait_for { my @status = map { post('starts')->{status} } 1 .. 4; "@status" eq '201 201 201 201' } 10, 'the limit to be gone';
};

subtest 'what PostgreSQL counts' => sub {
    limits('queue', 'max_pending = 2');
    my @status = map { post('queue')->{status} } 1 .. 3;
    is("@status", '201 201 429', 'queued jobs');
    is(post('queue')->{headers}{'retry-after'}, 10, 'Retry-After');
    limits('month', 'max_month_seconds = 0');
    my $month = post('month');
    is($month->{status}, 429, 'seconds of a month') or diag($month->{content});
    my $left = $pg->psql("SELECT extract(epoch FROM (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' - now())");
    cmp_ok(abs($month->{headers}{'retry-after'} - $left), '<', 10, 'Retry-After: the end of the month');
};

subtest 'a revoked key' => sub {
    allow_in_logs(qr/terminating connection/);
    my $becomes = sub {
        my ($status) = @_;
        return wait_for { 4 == grep { list('revoked')->{status} == $status } 1 .. 4 } 10, "every worker to answer $status", 0.5;
    };
    my $listener = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN matte_keys'";
    $becomes->(200);                                        # and is known for 30 s
    limits('revoked', 'disabled_at = now()');
    ok($becomes->(401), 'the notification is heard');
    limits('revoked', 'disabled_at = NULL');
    ok($becomes->(200), 'and the one that gives it back');
    is($pg->psql("BEGIN; $listener; UPDATE matte.api_key SET disabled_at = now(); COMMIT"), 't', 'nobody listens');
    ok($becomes->(401), 'who listens next trusts no key that was known before');
    $pg->psql('UPDATE matte.api_key SET disabled_at = NULL');
    ok($becomes->(200));
};

subtest 'floods without a key' => sub {
    $nginx->reconfigure(sub { s/rate=1000r\/s/rate=1r\/s/; s/burst=200 nodelay/burst=2 nodelay/; });
    my @answers = map { $nginx->get('/v1/jobs', 'X-Api-Key' => "guess $_") } 1 .. 8;
    my $n = tally(map { $_->{json}{error}{code} } @answers);
    cmp_ok($n->{rate_limited} // 0, '>=', 3, 'guesses are stopped by address') or diag(explain($n));
    is($answers[-1]{headers}{'retry-after'}, 1, 'Retry-After');
};

done_testing;
