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
  preview_ms    bigint,       -- 0: all of it
  max_ms        bigint,       -- what the key allows
  request_id    text);

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
              ceil(coalesce((j.options ->> 'preview_duration')::numeric, 0) * 1000)::bigint,
              (SELECT 1000 * k.max_video_seconds::bigint FROM api_key k WHERE k.id = j.api_key_id),
              j.request_id $$;

-- true: cancel was asked for. Progress never goes back within a run, and 100 is for completed.
CREATE FUNCTION job_heartbeat(p_job uuid, p_lease bigint, p_ttl interval, p_done int) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  UPDATE job SET lease_expires_at = clock_timestamp() + p_ttl,
                 frames_done      = p_done,
                 progress = greatest(progress, least(99, coalesce(100 * p_done::bigint / nullif(frames_total, 0), 0)))
    WHERE id = p_job AND lease_no = p_lease AND status = 'processing'
    RETURNING cancel_requested_at IS NOT NULL $$;

-- Once the input was probed: places the hold. 'held' (also when an earlier attempt of this run has placed it), or the
-- code with which the job has now failed: insufficient_credits, too_long.
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
    IF v_constraint <> 'available_not_negative' THEN RAISE; END IF;
  END;
  PERFORM job_unlease(j, 'insufficient_credits', 'Not enough credits for the length of this video.', false, '0');
  RETURN 'insufficient_credits';
END $$;

-- The output p_key must be in its place before this is called. Never charges more than was held.
CREATE FUNCTION job_complete(p_job uuid, p_lease bigint, p_output_ms bigint, p_key text, p_bytes bigint, p_sha bytea,
                             p_width int, p_height int, p_frames int, p_warnings jsonb) RETURNS boolean
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
                 finished_at   = clock_timestamp(),
                 engine_id     = NULL,
                 lease_expires_at = NULL
    WHERE id = p_job AND lease_no = p_lease AND status = 'processing'
    RETURNING true $$;

-- Again after 5 * 4^(attempt-1) s, at most 600 s, +-10 %. A second decode_error is the input's fault: permanent.
-- matte.backoff_scale exists for tests only.
CREATE FUNCTION job_fail(p_job uuid, p_lease bigint, p_code text, p_detail text, p_retryable boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  j       job;
  v_scale float8 := coalesce(nullif(current_setting('matte.backoff_scale', true), '')::float8, 1);
BEGIN
  SELECT * INTO j FROM job WHERE id = p_job AND lease_no = p_lease AND status = 'processing' FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  RETURN job_unlease(j, p_code, p_detail,
                     p_retryable AND NOT (p_code = 'decode_error' AND j.last_error IS NOT DISTINCT FROM 'decode_error'),
                     least(600, 5 * 4 ^ (j.attempt - 1)) * (0.9 + 0.2 * random()) * v_scale * interval '1 second');
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

-- ---- webhooks -----------------------------------------------------------------------------------------------------

-- Due deliveries, leased for 60 s. In order within a job: an event waits until the earlier ones are sent or failed.
CREATE FUNCTION webhook_claim(p_max int) RETURNS SETOF webhook_delivery
LANGUAGE sql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
  WITH c AS MATERIALIZED (
    SELECT d.id FROM webhook_delivery d
     WHERE d.state = 'pending' AND d.next_attempt_at <= now()
       AND (d.lease_expires_at IS NULL OR d.lease_expires_at < clock_timestamp())
       AND (SELECT true FROM webhook_delivery e
             WHERE e.job_id = d.job_id AND e.state = 'pending' AND e.seq < d.seq LIMIT 1) IS NULL
     ORDER BY d.next_attempt_at LIMIT p_max FOR UPDATE OF d SKIP LOCKED)
  UPDATE webhook_delivery w SET attempts = attempts + 1, lease_expires_at = clock_timestamp() + interval '60 seconds'
    WHERE w.id = ANY (ARRAY(SELECT id FROM c))
    RETURNING w.* $$;

-- Fenced by the attempt's number. 2xx: sent. 410: this and the job's other open deliveries fail. Anything else, 3xx
-- included: again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h (+-20 %, or Retry-After up to 1 h if later), then failed.
CREATE FUNCTION webhook_done(p_id uuid, p_attempt int, p_status int, p_error text, p_ms int, p_retry_after int)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  d         webhook_delivery;
  c_delays  CONSTANT int[] := '{5,300,1800,7200,18000,36000}';
  v_verdict text;
BEGIN
  SELECT * INTO d FROM webhook_delivery WHERE id = p_id AND attempts = p_attempt AND state = 'pending' FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO webhook_attempt (delivery_id, n, http_status, error, ms)
    VALUES (p_id, p_attempt, p_status, left(p_error, 200), p_ms);
  v_verdict := CASE WHEN p_status BETWEEN 200 AND 299                     THEN 'sent'
                    WHEN p_status = 410 OR p_attempt > cardinality(c_delays) THEN 'failed'
                    ELSE 'pending' END;
  UPDATE webhook_delivery SET
      state            = v_verdict,
      lease_expires_at = NULL,
      last_status      = p_status,
      last_error       = left(p_error, 200),
      last_at          = clock_timestamp(),
      done_at          = CASE WHEN v_verdict <> 'pending' THEN clock_timestamp() END,
      next_attempt_at  = clock_timestamp() + interval '1 second' *
        greatest(coalesce(c_delays[p_attempt], 0) * (0.8 + 0.4 * random()), least(coalesce(p_retry_after, 0), 3600))
    WHERE id = p_id;
  IF p_status = 410 THEN
    UPDATE webhook_delivery SET state = 'failed', last_error = 'endpoint gone', done_at = clock_timestamp()
      WHERE job_id = d.job_id AND state = 'pending';
  END IF;
  RETURN v_verdict;
END $$;
