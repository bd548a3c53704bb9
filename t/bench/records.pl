#!/usr/bin/perl
# ./build.sh bench records: retention of jobs in a database with a million that are over, with what belongs to them: how long
# the sweep takes to find its next jobs, to remove them, and to see that none is due.
use strict;
use warnings;
use Matte::Postgres;
use Matte::Test;
use Time::HiRes qw(time);

my ($jobs, $step, $steps) = (1_000_000, 100, 20);     # a step: as matted's
my $pg = Matte::Postgres->start(workspace());
$pg->admin_key('acme', credits => 1);
$pg->psql(<<"END");
SET search_path = matte;
SET session_replication_role = replica;                -- no triggers
INSERT INTO webhook_endpoint (tenant_id, origin) SELECT id, 'http://h' || n FROM tenant, generate_series(1, 100) n;
INSERT INTO job (id, tenant_id, api_key_id, status, model, output_format, video_url, rate_mc_s, run_no, lease_no, created_at,
                 finished_at, billing_status, held_mc, charged_mc, output_key, output_ms, webhook_url, output_removed_at)
  SELECT id, tenant, 1, 'completed', 'light', 'webm', 'http://v', 750, 1, 1, at, at, 'charged', 7500, 7500,
         tenant || '/' || id || '/1.webm', 10000, 'http://h', at
    FROM (SELECT gen_random_uuid() AS id, (SELECT id FROM tenant) AS tenant, now() - ($jobs - n) * interval '10 seconds' AS at
            FROM generate_series(1, $jobs) n) j;
INSERT INTO job_transition (job_id, to_status, run_no, attempt, lease_no)
  SELECT id, was::job_status, 1, 1, 1 FROM job, unnest('{created,pending,processing,completed}'::text[]) was
   ORDER BY created_at;
INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_available, d_held)
  SELECT tenant_id, id, 1, 'hold', -7500, 7500 FROM job ORDER BY created_at;
INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_held, d_spent)
  SELECT tenant_id, id, 1, 'capture', -7500, 7500 FROM job ORDER BY created_at;
INSERT INTO webhook_delivery (job_id, run_no, tenant_id, endpoint_id, event, url, data, state, done_at)
  SELECT id, 1, tenant_id, 1 + abs(hashtext(id::text)) % 100, event, 'http://h', '{}', 'sent', finished_at
    FROM job, unnest('{job.started,job.completed}'::text[]) event WHERE hashtext(id::text) % 2 = 0 ORDER BY created_at;
SET session_replication_role = origin;
VACUUM ANALYZE
END
my ($find) = $pg->psql(<<"END") =~ /Execution Time: ([\d.]+)/;
SET search_path = matte;
EXPLAIN ANALYZE SELECT id FROM job j
 WHERE coalesce(finished_at, created_at) < now() - interval '90 days' AND status NOT IN ('pending', 'processing')
   AND (output_key IS NULL OR output_removed_at IS NOT NULL OR deleted_at IS NOT NULL)
   AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.job_id = j.id AND d.state = 'pending')
 ORDER BY coalesce(finished_at, created_at) LIMIT $step FOR UPDATE SKIP LOCKED
END

# Milliseconds, and how many jobs went.
my $engine = $pg->session('matte_engine');
sub sweep { my ($keep) = @_; my $begin = time; my $count = $engine->call('sweep_jobs', $keep, $step); return (1000 * (time - $begin), $count) }

my @took = sort { $a <=> $b } map { my ($ms, $count) = sweep('90 days'); $count == $step ? $ms : die "only $count" } 1 .. $steps;
printf "records.jobs=%d\nrecords.size_mib=%d\nrecords.find_ms=%.2f\nrecords.step_ms=%.1f\nrecords.step_ms_max=%.1f\nrecords.none_due_ms=%.2f\n",
    $jobs, $pg->psql("SELECT pg_database_size('matte')") / 2**20, $find, @took[$steps / 2, -1], (sweep('1000 days'))[0];
