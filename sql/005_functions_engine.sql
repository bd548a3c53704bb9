-- The engine's functions. Every write is fenced: id AND lease_no AND status = 'processing'. NULL means that the lease
-- is lost: drop the work, write nothing. Times are the database's, so the engines' clocks may differ.
SET LOCAL search_path = matte;

CREATE TYPE claim AS (
  id            uuid,
  tenant_id     uuid,
  lease_no      bigint,
  attempt       smallint,
  max_attempts  smallint,
  model         text,
  output_format text,
  video_url     text,
  input_path    text,         -- of an upload, under the state folder; NULL: video_url is to be fetched
  background    text,         -- transparent or #rrggbb
  image_url     text,         -- of a background that is an image; else NULL
  canvas_width  int,          -- 0: the source's size, as canvas_height
  canvas_height int,
  anchor        text,         -- top-left, ... center, ...
  scale         float8,
  offset_x      float8,       -- pixels
  offset_y      float8,
  alpha         boolean,      -- is wanted in a file of its own
  preview_ms    bigint,       -- 0: all of it
  max_ms        bigint,       -- what the key allows
  text_prompt   text,
  request_id    text,
  trace_id      text);        -- of the create's traceparent

-- The tenant with the least virtual time that has room and a job that is due, then that tenant's first job.
-- Both steps are MATERIALIZED, or the planner may update more rows than LIMIT says; both inner queries are scalar
-- subqueries, as EXISTS and JOIN become scans of the whole backlog (46 ms at 100,000 pending where this takes 2). It is
-- SQL and not PL/pgSQL so that it is planned by the tables' present size.
CREATE FUNCTION job_claim(p_engine text, p_ttl interval) RETURNS SETOF claim
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  WITH t AS MATERIALIZED (
    SELECT s.tenant_id FROM tenant_slot s
     WHERE s.pending > 0 AND s.processing < s.max_processing
       AND (SELECT true FROM job q
             WHERE q.tenant_id = s.tenant_id AND q.status = 'pending' AND q.run_after <= now()
             ORDER BY q.priority, q.pending_at, q.id LIMIT 1)
     ORDER BY s.vtime, s.tenant_id LIMIT 1 FOR UPDATE OF s SKIP LOCKED),
  c AS MATERIALIZED (
    SELECT q.id FROM job q
     WHERE q.tenant_id = (SELECT tenant_id FROM t)
       AND q.status = 'pending' AND q.run_after <= now()
     ORDER BY q.priority, q.pending_at, q.id LIMIT 1 FOR UPDATE OF q SKIP LOCKED)
  UPDATE job j SET status           = 'processing',
                   attempt          = attempt + 1,
                   lease_no         = lease_no + 1,
                   engine_id        = p_engine,
                   lease_expires_at = clock_timestamp() + p_ttl,
                   started_at       = coalesce(started_at, clock_timestamp()),
                   frames_done      = 0
    WHERE j.id = (SELECT id FROM c)
    RETURNING j.id, j.tenant_id, j.lease_no, j.attempt, j.max_attempts, j.model, j.output_format, j.video_url,
              'uploads/' || j.tenant_id || '/' || upload_of(j.video_url),
              background_of(j.options),
              CASE WHEN j.options #>> '{background,type}' = 'image' THEN j.options #>> '{background,image_url}' END,
              coalesce((j.options #>> '{composition,canvas,width}')::int, 0),
              coalesce((j.options #>> '{composition,canvas,height}')::int, 0),
              coalesce(j.options #>> '{composition,foreground,anchor}', 'center'),
              coalesce((j.options #>> '{composition,foreground,scale}')::float8, 1),
              coalesce((j.options #>> '{composition,foreground,offset,x}')::float8, 0),
              coalesce((j.options #>> '{composition,foreground,offset,y}')::float8, 0),
              coalesce((j.options ->> 'alpha')::boolean, false),
              ceil(coalesce((j.options ->> 'preview_duration')::numeric, 0) * 1000)::bigint,
              (SELECT 1000 * k.max_video_seconds::bigint FROM api_key k WHERE k.id = j.api_key_id),
              j.options ->> 'text_prompt',
              j.request_id,
              substr(j.traceparent, 4, 32) $$;

-- true: cancel was asked for. Progress never goes back within a run, and 100 is for completed.
CREATE FUNCTION job_heartbeat(p_job uuid, p_lease bigint, p_ttl interval, p_done int) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  UPDATE job SET lease_expires_at = clock_timestamp() + p_ttl,
                 frames_done      = p_done,
                 progress = greatest(progress, least(99, coalesce(100 * p_done::bigint / nullif(frames_total, 0), 0)))
    WHERE id = p_job AND lease_no = p_lease AND status = 'processing'
    RETURNING cancel_requested_at IS NOT NULL $$;

-- Once the input was probed: places the hold. 'held' (also when an earlier attempt of this run has placed it), or the
-- code with which the job has now failed: insufficient_credits, quota_exceeded, too_long.
CREATE FUNCTION job_hold(p_job uuid, p_lease bigint, p_output_ms bigint, p_frames int) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  j            job;
  v_amount     bigint;
  v_constraint text;
BEGIN
  SELECT * INTO j FROM job WHERE id = p_job AND lease_no = p_lease AND status = 'processing' FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF j.billing_status = 'held' THEN RETURN 'held'; END IF;
  IF p_output_ms > 1000 * (SELECT max_video_seconds::bigint FROM api_key WHERE id = j.api_key_id) THEN
    PERFORM job_unlease(j, 'too_long', 'The video is longer than this key allows.', false, '0');
    RETURN 'too_long';
  END IF;
  v_amount := price_mc(p_output_ms, j.rate_mc_s);
  UPDATE tenant_slot SET vtime = vtime + (p_output_ms / 1000.0 - j.cost_s) / weight WHERE tenant_id = j.tenant_id;
  BEGIN
    UPDATE job SET billing_status = 'held', held_mc = v_amount, cost_s = p_output_ms / 1000.0, frames_total = p_frames
      WHERE id = p_job;
    INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_available, d_held)
      SELECT j.tenant_id, j.id, j.run_no, 'hold', -v_amount, v_amount WHERE v_amount > 0;
    RETURN 'held';
  EXCEPTION WHEN check_violation THEN                -- the account's own rule decides; undone up to the inner BEGIN
    GET STACKED DIAGNOSTICS v_constraint = CONSTRAINT_NAME;
    IF v_constraint NOT IN ('available_not_negative', 'month_within_limit') THEN RAISE; END IF;
  END;
  IF v_constraint = 'month_within_limit' THEN
    PERFORM job_unlease(j, 'quota_exceeded', 'The seconds of this month that the key allows are used up.', false, '0');
    RETURN 'quota_exceeded';
  END IF;
  PERFORM job_unlease(j, 'insufficient_credits', 'Not enough credits for the length of this video.', false, '0');
  RETURN 'insufficient_credits';
END $$;

-- The output p_key, and its alpha, must be in their places before this is called. Never charges more than was held.
CREATE FUNCTION job_complete(p_job uuid, p_lease bigint, p_output_ms bigint, p_key text, p_bytes bigint, p_sha bytea,
                             p_width int, p_height int, p_frames int, p_warnings jsonb,
                             p_alpha_bytes bigint DEFAULT NULL, p_alpha_sha bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  UPDATE job SET status        = 'completed',
                 progress      = 100,
                 charged_mc    = least(price_mc(p_output_ms, rate_mc_s), held_mc),
                 warnings      = coalesce(p_warnings, '[]'),
                 frames_done   = p_frames,
                 output_key    = p_key,
                 output_bytes  = p_bytes,
                 output_sha256 = p_sha,
                 output_ms     = p_output_ms,
                 output_width  = p_width,
                 output_height = p_height,
                 output_frames = p_frames,
                 alpha_bytes   = p_alpha_bytes,
                 alpha_sha256  = p_alpha_sha,
                 finished_at   = clock_timestamp(),
                 engine_id     = NULL,
                 lease_expires_at = NULL
    WHERE id = p_job AND lease_no = p_lease AND status = 'processing'
    RETURNING true $$;

-- Again after 5 * 4^(attempt-1) s, at most 600 s, +-10 %. A second decode_error is the input's fault: permanent.
CREATE FUNCTION job_fail(p_job uuid, p_lease bigint, p_code text, p_detail text, p_retryable boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  j job;
BEGIN
  SELECT * INTO j FROM job WHERE id = p_job AND lease_no = p_lease AND status = 'processing' FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  RETURN job_unlease(j, p_code, p_detail,
                     p_retryable AND NOT (p_code = 'decode_error' AND j.last_error IS NOT DISTINCT FROM 'decode_error'),
                     least(600, 5 * 4 ^ (j.attempt - 1)) * (0.9 + 0.2 * random()) * backoff_scale() * interval '1 second');
END $$;

-- A graceful stop: the job goes back and the attempt is not spent.
CREATE FUNCTION job_release(p_job uuid, p_lease bigint) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  UPDATE job SET status      = CASE WHEN cancel_requested_at IS NULL THEN 'pending'::job_status ELSE 'cancelled' END,
                 finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
                 attempt     = attempt - 1,
                 run_after   = now(),
                 last_error  = 'released',
                 engine_id   = NULL,
                 lease_expires_at = NULL
    WHERE id = p_job AND lease_no = p_lease AND status = 'processing'
    RETURNING status::text $$;

-- Takes back expired leases; every engine runs it every third of a lease. In tenant order, one job at a time: two
-- reapers that touch tenant_slot in different orders would deadlock.
CREATE FUNCTION job_reap(p_max int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  j       job;
  v_count int := 0;
BEGIN
  FOR j IN SELECT * FROM job WHERE status = 'processing' AND lease_expires_at < clock_timestamp()
            ORDER BY tenant_id, id LIMIT p_max FOR UPDATE SKIP LOCKED LOOP
    PERFORM job_unlease(j, 'engine_lost', 'The engine stopped responding.', true, '0');
    v_count := v_count + 1;
  END LOOP;
  RETURN v_count;
END $$;

-- ---- retention ----------------------------------------------------------------------------------------------------
-- Any number of engines may call these at once. Paths are relative to the state folder, one a line.

-- Gives up to p_max uploads, and as many outputs, that have had their time to be removed; then what is to be removed,
-- oldest first. A job's upload has its time from the job's end.
CREATE FUNCTION sweep_due(p_uploads interval, p_outputs interval, p_max int) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_paths text;
BEGIN
  PERFORM upload_forget(u.id, p_uploads)
    FROM (SELECT id FROM upload
           WHERE deleted_at IS NULL AND created_at < now() - p_uploads AND NOT upload_wanted(id, p_uploads)
           ORDER BY created_at LIMIT p_max FOR UPDATE SKIP LOCKED) u;
  WITH old AS MATERIALIZED (
    SELECT id FROM job
     WHERE status = 'completed' AND output_removed_at IS NULL AND deleted_at IS NULL AND finished_at < now() - p_outputs
     ORDER BY finished_at LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED),
  marked AS (
    UPDATE job SET output_removed_at = now() WHERE id = ANY (ARRAY(SELECT id FROM old))
      RETURNING output_key, alpha_key(job))
  INSERT INTO removal (path)
    SELECT 'outputs/' || key FROM marked, unnest(ARRAY[output_key, alpha_key]) key WHERE key IS NOT NULL
    ON CONFLICT DO NOTHING;
  WITH next AS MATERIALIZED (SELECT path FROM removal ORDER BY at LIMIT p_max FOR UPDATE SKIP LOCKED),
       last AS (UPDATE removal SET at = clock_timestamp()       -- one that cannot be removed holds up no other
                 WHERE path = ANY (ARRAY(SELECT path FROM next)) RETURNING path)
  SELECT string_agg(path, E'\n') INTO v_paths FROM last;
  RETURN v_paths;
END $$;

-- They are removed. How many there were.
CREATE FUNCTION sweep_done(p_paths text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  WITH gone AS (DELETE FROM removal WHERE path = ANY (string_to_array(p_paths, E'\n')) RETURNING path)
  SELECT count(*) FROM gone $$;

-- Up to p_max jobs that ended p_keep ago, and drafts as old, the oldest first: with their transitions, ledger entries and
-- deliveries, and the endpoints that then have none. One whose output is kept, or that owes a webhook, stays. They are
-- locked first and looked at then: a redelivery that was asked for meanwhile is seen. How many there were.
CREATE FUNCTION sweep_jobs(p_keep interval, p_max int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_jobs      uuid[];
  v_endpoints bigint[];
  v_count     bigint;
BEGIN
  v_jobs := ARRAY(
    SELECT id FROM job j
     WHERE coalesce(finished_at, created_at) < now() - p_keep AND status NOT IN ('pending', 'processing')
       AND (output_key IS NULL OR output_removed_at IS NOT NULL OR deleted_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.job_id = j.id AND d.state = 'pending')
     ORDER BY coalesce(finished_at, created_at) LIMIT p_max FOR UPDATE SKIP LOCKED);
  v_endpoints := ARRAY(SELECT DISTINCT endpoint_id FROM webhook_delivery WHERE job_id = ANY (v_jobs));
  DELETE FROM job j WHERE id = ANY (v_jobs)
     AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.job_id = j.id AND d.state = 'pending');
  GET DIAGNOSTICS v_count = ROW_COUNT;
  v_endpoints := ARRAY(SELECT id FROM webhook_endpoint WHERE id = ANY (v_endpoints) FOR UPDATE SKIP LOCKED);
  DELETE FROM webhook_endpoint e WHERE id = ANY (v_endpoints)
     AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = e.id);
  RETURN v_count;
END $$;

-- Up to p_max rows of each kind that have had their time: requests of 24 hours ago, attempts of webhooks, uploads that
-- are gone. How many there were of the kind with the most.
CREATE FUNCTION sweep_rows(p_keep interval, p_max int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  WITH i AS (DELETE FROM idempotency_key WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM idempotency_key WHERE created_at < now() - interval '24 hours' LIMIT p_max)) RETURNING 1),
       w AS (DELETE FROM webhook_attempt WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM webhook_attempt WHERE at < now() - p_keep LIMIT p_max)) RETURNING 1),
       u AS (DELETE FROM upload WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM upload WHERE deleted_at < now() - p_keep LIMIT p_max)) RETURNING 1)
  SELECT greatest((SELECT count(*) FROM i), (SELECT count(*) FROM w), (SELECT count(*) FROM u)) $$;

-- Of these files, those that no row claims. What is not named as one of ours is nobody's to remove.
CREATE FUNCTION sweep_unclaimed(p_paths text) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  SELECT string_agg(path, E'\n')
    FROM unnest(string_to_array(p_paths, E'\n')) path,
         regexp_match(path, '^(outputs|uploads)/([0-9a-f-]{36})/([0-9a-f-]{36})(/[0-9]+([.]alpha)?[.][a-z0-9]+)?$') part
   WHERE CASE WHEN part[1] = 'uploads' AND part[4] IS NULL THEN
                NOT EXISTS (SELECT FROM upload u WHERE u.id = part[3]::uuid AND u.tenant_id = part[2]::uuid
                                                   AND u.deleted_at IS NULL)
              WHEN part[1] = 'outputs' AND part[4] IS NOT NULL THEN
                NOT EXISTS (SELECT FROM job j WHERE j.id = part[3]::uuid
                                                AND path IN ('outputs/' || output_of(j), 'outputs/' || alpha_of(j)))
              ELSE false END $$;

-- ---- webhooks -----------------------------------------------------------------------------------------------------
-- Deliveries to one endpoint go four at a time, and one at a time, with pauses, while it fails. Within a job they go in
-- order: an event waits until the earlier ones are sent or failed. Lock order: job, endpoint, delivery.

-- What an engine's keys are known by: true where one of them is known, or none yet; they are then the known ones. So
-- engines that would sign differently do not run beside each other. A key that was lost is given up by
-- TRUNCATE matte.webhook_key, after which every client needs its secret anew.
CREATE FUNCTION webhook_keys(p_ids text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
  LOCK TABLE webhook_key IN SHARE ROW EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM webhook_key) AND NOT EXISTS (SELECT FROM webhook_key WHERE id = ANY (p_ids)) THEN
    RETURN false;
  END IF;
  DELETE FROM webhook_key WHERE id <> ALL (p_ids);
  INSERT INTO webhook_key SELECT unnest(p_ids) ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- The id of the client's newest secret.
CREATE FUNCTION webhook_secret(p_client text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = matte, pg_temp AS $$
BEGIN
  RETURN (SELECT id FROM webhook_secret WHERE tenant_id = tenant_of(p_client) AND expires_at IS NULL);
END $$;

CREATE TYPE webhook AS (
  id         uuid,
  attempt    smallint,
  job_id     uuid,
  event      text,
  url        text,
  at         text,            -- of the event
  data       text,
  output_key text,            -- of a completed job whose output is still there
  alpha_key  text,            -- the same, of its alpha
  secrets    text,            -- their ids, the newest first
  request_id text,
  traceparent text);

-- The attempts that may begin now.
CREATE FUNCTION webhook_room(e webhook_endpoint) RETURNS bigint STABLE
RETURN greatest(0, CASE WHEN e.failures > 0 THEN 1 ELSE 4 END
                   - (SELECT count(*) FROM webhook_delivery d
                       WHERE d.endpoint_id = e.id AND d.in_flight AND d.next_attempt_at > now()));

-- When its next delivery is due; without room, when one in flight is lost. The caller has locked the row.
CREATE FUNCTION webhook_wake(p_endpoint bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE webhook_endpoint e SET wake_at =
      CASE WHEN webhook_room(e) > 0
        THEN (SELECT greatest(e.paused_until, d.next_attempt_at) FROM webhook_delivery d
               WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_attempt_at IS NOT NULL
               ORDER BY d.next_attempt_at LIMIT 1)
        ELSE (SELECT min(d.next_attempt_at) FROM webhook_delivery d WHERE d.endpoint_id = e.id AND d.in_flight) END
    WHERE e.id = p_endpoint;
END $$;

-- For job_after: the outbox's row of a transition. An event that the run has had (job.started again, after job_release)
-- is not told twice. Where the run's URL was answered with 410 nothing more is sent to it: the URL is the job's, and a
-- client has nowhere to enable an endpoint again, so that the rule goes no further than the run.
CREATE FUNCTION webhook_enqueue(j job, p_event text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_endpoint bigint;
  v_gone     boolean;
BEGIN
  INSERT INTO webhook_endpoint AS e (tenant_id, origin)
    VALUES (j.tenant_id, lower(substring(j.webhook_url FROM '^\w+://[^/?#]*')))
    ON CONFLICT (tenant_id, origin) DO UPDATE
      SET wake_at = greatest(e.paused_until, least(e.wake_at, clock_timestamp()))
    RETURNING id INTO v_endpoint;
  v_gone := EXISTS (SELECT FROM webhook_delivery d
                     WHERE d.job_id = j.id AND d.run_no = j.run_no AND d.last_status = 410);
  INSERT INTO webhook_delivery (job_id, run_no, tenant_id, endpoint_id, event, url, data, state, last_error, done_at,
                                next_attempt_at)
    VALUES (j.id, j.run_no, j.tenant_id, v_endpoint, p_event, j.webhook_url, job_json(j),
            CASE WHEN v_gone THEN 'failed' ELSE 'pending' END,
            CASE WHEN v_gone THEN 'The endpoint is gone.' END,
            CASE WHEN v_gone THEN clock_timestamp() END,
            CASE WHEN NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.job_id = j.id
                                     AND d.endpoint_id = v_endpoint AND d.state = 'pending')
                 THEN clock_timestamp() END)
    ON CONFLICT (job_id, run_no, event) DO NOTHING;
END $$;

-- Up to p_max due deliveries, to endpoints that fail or to those that do not: the caller has connections for each, so
-- that the former cannot take them all. A delivery of which nothing is heard for p_lease may be claimed again.
CREATE FUNCTION webhook_claim(p_failing boolean, p_max int, p_lease interval) RETURNS SETOF webhook
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  e      webhook_endpoint;
  v_left bigint := p_max;
  v_got  bigint;
BEGIN
  FOR e IN SELECT * FROM webhook_endpoint WHERE (failures > 0) = p_failing AND wake_at <= now()
            ORDER BY wake_at LIMIT p_max FOR UPDATE SKIP LOCKED LOOP
    RETURN QUERY
      WITH due AS MATERIALIZED (
        SELECT d.id FROM webhook_delivery d
         WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_attempt_at <= now()
         ORDER BY d.next_attempt_at, d.seq LIMIT least(v_left, webhook_room(e)))
      UPDATE webhook_delivery w SET attempts        = attempts + 1,
                                    in_flight       = true,
                                    next_attempt_at = clock_timestamp() + p_lease
        FROM job j
        WHERE w.id IN (SELECT due.id FROM due) AND j.id = w.job_id
        RETURNING w.id, w.attempts, w.job_id, w.event, w.url, utc_z(w.created_at), w.data::text,
                  CASE WHEN w.event = 'job.completed' THEN output_of(j) END,
                  CASE WHEN w.event = 'job.completed' THEN alpha_of(j) END,
                  (SELECT string_agg(s.id::text, ' ' ORDER BY s.expires_at DESC)
                     FROM webhook_secret s
                    WHERE s.tenant_id = w.tenant_id AND (s.expires_at IS NULL OR s.expires_at > now())),
                  j.request_id, j.traceparent;
    GET DIAGNOSTICS v_got = ROW_COUNT;
    v_left := v_left - v_got;
    PERFORM webhook_wake(e.id);
    EXIT WHEN v_left = 0;
  END LOOP;
END $$;

-- Fenced by the attempt's number: NULL where the delivery was claimed again. 2xx: sent. 410: this and the run's other
-- open deliveries fail. Anything else, 3xx included: again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h (+-20 %, or
-- Retry-After up to 1 h if later), then failed. The endpoint pauses for 1 s after its first failure in a row, then for
-- twice as long up to a minute; after three days without a success what waits for it fails with the attempt that fails,
-- so that it stays bounded.
CREATE FUNCTION webhook_done(p_id uuid, p_attempt int, p_status int, p_error text, p_ms int, p_retry_after int)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  d         webhook_delivery;
  e         webhook_endpoint;
  c_delays  CONSTANT int[] := '{5,300,1800,7200,18000,36000}';
  v_now     timestamptz := clock_timestamp();
  v_sent    boolean := coalesce(p_status BETWEEN 200 AND 299, false);
  v_dead    boolean;
  v_verdict text;
BEGIN
  SELECT * INTO e FROM webhook_endpoint WHERE id = (SELECT endpoint_id FROM webhook_delivery WHERE id = p_id) FOR UPDATE;
  SELECT * INTO d FROM webhook_delivery WHERE id = p_id AND attempts = p_attempt AND in_flight;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO webhook_attempt (delivery_id, n, http_status, error, ms)
    VALUES (p_id, p_attempt, p_status, left(p_error, 200), p_ms);

  e.failures      := CASE WHEN v_sent THEN 0 ELSE e.failures + 1 END;
  e.failing_since := CASE WHEN NOT v_sent THEN coalesce(e.failing_since, v_now) END;
  v_dead          := coalesce(e.failing_since < v_now - interval '3 days', false);
  v_verdict := CASE WHEN v_sent THEN 'sent'
                    WHEN p_status = 410 OR v_dead OR p_attempt > cardinality(c_delays) THEN 'failed'
                    ELSE 'pending' END;
  UPDATE webhook_delivery SET
      state           = v_verdict,
      in_flight       = false,
      last_status     = p_status,
      last_error      = left(p_error, 200),
      last_at         = v_now,
      done_at         = CASE WHEN v_verdict <> 'pending' THEN v_now END,
      next_attempt_at = v_now + interval '1 second' *
        greatest(coalesce(c_delays[p_attempt], 0) * (0.8 + 0.4 * random()) * backoff_scale(),
                 least(coalesce(p_retry_after, 0), 3600))
    WHERE id = p_id;
  IF p_status = 410 OR v_dead THEN
    UPDATE webhook_delivery SET
        state      = 'failed',
        last_error = CASE WHEN v_dead THEN 'The endpoint has failed for three days.' ELSE 'The endpoint is gone.' END,
        done_at    = v_now
      WHERE endpoint_id = e.id AND state = 'pending' AND NOT in_flight
        AND (v_dead OR (job_id = d.job_id AND run_no = d.run_no));
  END IF;
  UPDATE webhook_delivery SET next_attempt_at = v_now           -- the job's next event
    WHERE next_attempt_at IS NULL
      AND id = (SELECT id FROM webhook_delivery
                 WHERE job_id = d.job_id AND endpoint_id = e.id AND state = 'pending' ORDER BY seq LIMIT 1);
  UPDATE webhook_endpoint SET
      failures      = e.failures,
      failing_since = e.failing_since,
      paused_until  = CASE WHEN v_sent THEN '-infinity'
                           ELSE v_now + least(60, 2 ^ least(e.failures - 1, 6)) * backoff_scale() * interval '1 second' END
    WHERE id = e.id;
  PERFORM webhook_wake(e.id);
  RETURN v_verdict;
END $$;

-- For the API, which has judged whose it is: one attempt more, now or after the job's earlier events; if it fails, what
-- the attempts so far have left of the schedule. One that is in flight stays as it is. False: there is none.
CREATE FUNCTION webhook_redeliver(p_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  d webhook_delivery;
BEGIN
  PERFORM FROM webhook_endpoint WHERE id = (SELECT endpoint_id FROM webhook_delivery WHERE id = p_id) FOR UPDATE;
  SELECT * INTO d FROM webhook_delivery WHERE id = p_id;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE webhook_delivery SET
      state           = 'pending',
      done_at         = NULL,
      next_attempt_at = CASE WHEN NOT EXISTS (SELECT FROM webhook_delivery b
                                               WHERE b.job_id = d.job_id AND b.endpoint_id = d.endpoint_id
                                                 AND b.state = 'pending' AND b.seq < d.seq)
                             THEN clock_timestamp() END
    WHERE id = p_id AND NOT in_flight;
  PERFORM webhook_wake(d.endpoint_id);
  RETURN true;
END $$;
