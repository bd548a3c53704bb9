#!/usr/bin/perl
# ./build.sh bench api: what a poll costs, GET /v1/jobs/ID with a key that is known and a job that runs: polls a second over
# those of the same bytes from `return 200` in the same NGINX, and over pgbench's of the same statement; the processor's time
# of each side. Then what answers that are remembered would cost, and what they would be worth: heartbeats a second with a
# NOTIFY in each over those without; and how often a server has not heard of a change that its client has seen, which keys
# that are disabled show. Polls, `return` and pgbench take turns; a figure is the median of rounds. All of it runs on the same
# processors.
use strict;
use warnings;
use Matte::Nginx;
use Matte::Postgres;
use Matte::Test;
use POSIX qw(sysconf _SC_CLK_TCK);
use Time::HiRes qw(time);

my ($jobs, $keys, $changes, $rounds, $seconds) = (100_000, 100, 200, 3, 3);
my $dir = workspace();
my $pg = Matte::Postgres->start($dir);
$pg->psql('ALTER TABLE matte.api_key ALTER rate_per_min SET DEFAULT 100000000, ALTER burst SET DEFAULT 10000000');
$pg->admin_key('acme', credits => 1000);
my @keys = split /\n/, $pg->psql("SELECT matte.key_create('acme', 'n' || n) FROM generate_series(1, $keys) n");
$pg->psql(<<"END");
SET search_path = matte;
SET session_replication_role = replica;                -- no triggers
INSERT INTO job (id, tenant_id, api_key_id, status, model, output_format, video_url, rate_mc_s, run_no, attempt, lease_no,
                 engine_id, lease_expires_at, frames_total, pending_at, started_at, request_id)
  SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, tenant_id, id, 'processing', 'light', 'webm',
         'https://example.com/v.mp4', 750, 1, 1, 1, 'e', now() + interval '1 hour', 1000, now(), now(), 'r'
    FROM (SELECT * FROM api_key LIMIT 1) k, generate_series(0, $jobs - 1) n;
SET session_replication_role = origin;
VACUUM ANALYZE
END
my $poll = '/v1/jobs/00000000-0000-4000-8000-000000000000';
my $body = $pg->psql("SELECT matte.job_json(j) FROM matte.job j LIMIT 1") =~ s/^{/{"output_url":null,"alpha_url":null,/r;
my $nginx = Matte::Nginx->start($dir, database => $pg->conninfo('matte_api'), key => $keys[0], edit => sub {
    s/^ *limit_(?:req|conn) .*\n//mg;
    s/^ *location \/ \{/        location = \/same {\n            default_type application\/json;\n            return 200 '$body';\n        }\n$&/m;
});
my @length = map { my $answer = $nginx->get($_); $answer->{status} == 200 ? length $answer->{content} : 0 } $poll, '/same';
die "@length: the answers differ\n" unless $length[0] && $length[0] == $length[1];

spew("$dir/keys", join '', map { "$_\n" } @keys);
my %script = (
    poll => spew("$dir/poll.lua", <<"END"),
local threads = 0
function setup(thread)
    threads = threads + 1
    thread:set('seed', threads)
end
function init()
    keys = {}
    for line in io.lines('$dir/keys') do keys[#keys + 1] = line end
    math.randomseed(seed)
end
function request()
    return wrk.format('GET', string.format('/v1/jobs/00000000-0000-4000-8000-%012x', math.random(0, $jobs - 1)),
                      {['X-Api-Key'] = keys[math.random(#keys)]})
end
END
    return => spew("$dir/return.lua", "function request() return wrk.format('GET', '/same', {['X-Api-Key'] = '$keys[0]'}) end\n"));

# pgbench runs whole files; a job's id is of a number.
my $id = "('00000000-0000-4000-8000-' || lpad(to_hex(:n::int), 12, '0'))::uuid";
my %statement = (
    get       => "SELECT * FROM matte.api_get(NULL, '@{[$pg->psql('SELECT id FROM matte.tenant')]}', $id);",
    heartbeat => "SELECT matte.job_heartbeat($id, 1, '1 hour', 500);",
    notify    => "SELECT matte.job_heartbeat($id, 1, '1 hour', 500), pg_notify('matte_jobs_changed', $id\::text);");
my %sql = map { $_ => spew("$dir/$_.sql", "\\set n random(0, @{[$jobs - 1]})\n$statement{$_}\n") } keys %statement;

# Seconds of processor that these processes have had.
sub spent {
    my $ticks = 0;
    for my $pid (@_) {
        my @stat = split / /, slurp("/proc/$pid/stat") =~ s/.*\) //r;
        $ticks += $stat[11] + $stat[12];
    }
    return $ticks / sysconf(_SC_CLK_TCK);
}

# Requests a second, milliseconds at 50 and 99 %, microseconds of NGINX and of PostgreSQL for each.
sub requests {
    my ($what) = @_;
    my @sides = ([$nginx->workers], [split /\n/, $pg->psql("SELECT pid FROM pg_stat_activity WHERE usename = 'matte_api'")]);
    my @before = map { spent(@$_) } @sides;
    my $said = `wrk -t2 -c64 -d${seconds}s --latency -s $script{$what} @{[$nginx->url]}`;
    my @after = map { spent(@$_) } @sides;
    die $said if $said =~ /Non-2xx|Socket errors/ || $said !~ /(\d+) requests in/;
    my $count = $1;
    my ($rate) = $said =~ m{Requests/sec: +([\d.]+)};
    my %in = (us => 0.001, ms => 1, s => 1000);
    my @ms = map { $said =~ /$_% +([\d.]+)([mu]?s)/ ? $1 * $in{$2} : die $said } 50, 99;
    return ($rate, @ms, map { 1e6 * ($after[$_] - $before[$_]) / $count } 0, 1);
}

# Transactions a second.
sub transactions {
    my ($what, $clients) = @_;
    my $user = $what eq 'get' ? 'matte_api' : 'matte_engine';
    my $said = `@{[$pg->{bin}]}/pgbench -n -M prepared -c $clients -j 2 -T $seconds -f $sql{$what} '@{[$pg->conninfo($user)]}' 2>&1`;
    return $said =~ /tps = ([\d.]+)/ ? $1 : die $said;
}

# Keys are disabled, one after the other, by a session that sees each commit; each is then used at once. How often the first
# request was still let in, as a share, and the longest time for which one was, in milliseconds.
sub told_late {
    my $operator = $pg->session('postgres');
    my ($late, $longest) = (0, 0);
    for (1 .. $changes) {
        my $key = $pg->psql("SELECT matte.key_create('acme', NULL)");
        my $enters = sub { $nginx->get($poll, 'X-Api-Key' => $key)->{status} == 200 };
        $enters->() && $enters->() or die 'a new key is refused';
        $operator->query("SELECT matte.key_disable('@{[$key =~ /^(\w+?_\w+?_[^_]+)/]}')");
        my ($seen, $after) = (time, 0);
        $after = time - $seen while $enters->();
        $late++ if $after;
        $longest = $after if $after > $longest;
    }
    return ($late / $changes, 1000 * $longest);
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[$#sorted / 2] }

my %got;
for (1 .. $rounds) {
    my @poll = requests('poll');
    my @return = requests('return');
    push @{$got{$_->[0]}}, $_->[1] for ['poll_per_s', $poll[0]], ['poll_p50_ms', $poll[1]], ['poll_p99_ms', $poll[2]],
        ['poll_nginx_us', $poll[3]], ['poll_postgres_us', $poll[4]], ['return_nginx_us', $return[3]],
        ['poll_over_return', $poll[0] / $return[0]], ['poll_over_pgbench', $poll[0] / transactions('get', 8)],
        ['heartbeat_notify_over_plain', transactions('notify', 8) / transactions('heartbeat', 8)];
}
@got{qw(told_late told_late_ms)} = map { [$_] } told_late();
my $load = spawn("$dir/load.log", 'wrk', '-t1', '-c64', '-d600s', '-s', $script{poll}, $nginx->url);
@got{qw(told_late_busy told_late_busy_ms)} = map { [$_] } told_late();
running($load) or die slurp("$dir/load.log");
finish($load);
printf "api.%s=%.2f\n", $_, median(@{$got{$_}}) for qw(poll_per_s poll_p50_ms poll_p99_ms poll_nginx_us poll_postgres_us
    return_nginx_us poll_over_return poll_over_pgbench heartbeat_notify_over_plain told_late told_late_ms told_late_busy
    told_late_busy_ms);
