-- The module's functions. Each call is one statement and one round trip; each answers with one row (api_list: one an
-- item) of type answer. A refusal that a client can cause is an outcome, never an SQL error: the work is undone to the
-- start of the call and calls pipelined beside it are not touched.
SET LOCAL search_path = matte;

CREATE TYPE answer AS (
  outcome        text,        -- ok, replay (the stored code and body), or an error code of the API
  key_id         bigint,      -- down to scope: the key, when the call checked one
  tenant_id      uuid,
  rate_per_min   int,
  burst          int,
  starts_per_min int,
  starts_burst   int,
  scope          text,
  job_id         uuid,
  status         text,
  code           smallint,
  body           text,
  output_key     text,
  alpha_key      text,
  total          bigint);     -- of a list: items; of rate_limited: seconds to wait

-- ---- who is asking ------------------------------------------------------------------------------------------------

-- The whole rule. Unknown, disabled, expired and suspended are told apart by nobody.
CREATE VIEW valid_key AS
  SELECT k.* FROM api_key k JOIN tenant t ON t.id = k.tenant_id
   WHERE k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.suspended_at IS NULL;

-- The beginning of every answer: ok with the key's columns, invalid_api_key, or forbidden: the key has not this scope.
CREATE FUNCTION key_check(p_key bytea, p_scope text DEFAULT 'write') RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
  a      answer;
  v_seen timestamptz;
BEGIN
  SELECT CASE WHEN strpos(k.scope, p_scope) > 0 THEN 'ok' ELSE 'forbidden' END, k.id, k.tenant_id, k.rate_per_min,
         k.burst, k.starts_per_min, k.starts_burst, k.scope, coalesce(k.last_used_at, '-infinity')
    INTO a.outcome, a.key_id, a.tenant_id, a.rate_per_min, a.burst, a.starts_per_min, a.starts_burst, a.scope, v_seen
    FROM valid_key k WHERE k.key_hash = p_key;
  IF NOT FOUND THEN
    a.outcome := 'invalid_api_key';
  ELSIF v_seen < now() - interval '1 minute' THEN
    UPDATE api_key SET last_used_at = now()                    -- whoever gets the row first; nobody waits for it
      WHERE id = (SELECT id FROM api_key WHERE id = a.key_id FOR NO KEY UPDATE SKIP LOCKED);
  END IF;
  RETURN a;
END $$;

-- Ends the call: the outcome, and in how many seconds to try again, travel as message and hint to the handler in the
-- entry point.
CREATE FUNCTION refuse(p_outcome text, p_wait bigint DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'MT400', MESSAGE = p_outcome, HINT = coalesce(p_wait::text, '');
END $$;

CREATE FUNCTION refused(a answer, p_outcome text, p_wait text) RETURNS answer LANGUAGE plpgsql AS $$
BEGIN
  a.outcome := p_outcome;
  a.total   := nullif(p_wait, '');
  a.status  := NULL;
  RETURN a;
END $$;

-- ---- reading ------------------------------------------------------------------------------------------------------
-- p_tenant: the module has verified the key moments ago, p_key is ignored and the key's columns stay NULL. Another
-- tenant's job, a deleted one and an unknown one are one condition, so they answer alike and cost alike.

CREATE FUNCTION api_get(p_key bytea, p_tenant uuid, p_job uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer;
BEGIN
  IF p_tenant IS NULL THEN
    a := key_check(p_key, 'read');
    IF a.outcome <> 'ok' THEN RETURN a; END IF;
  END IF;
  SELECT 'ok',      j.id,     j.status, job_json(j), output_of(j), alpha_of(j)
    INTO a.outcome, a.job_id, a.status, a.body,      a.output_key, a.alpha_key
    FROM job j WHERE j.id = p_job AND j.tenant_id = coalesce(p_tenant, a.tenant_id) AND j.deleted_at IS NULL;
  IF NOT FOUND THEN a.outcome := 'not_found'; END IF;
  RETURN a;
END $$;

-- Newest first. Every row has the total; with no item on the page there is one row and its body is NULL.
CREATE FUNCTION api_list(p_key bytea, p_tenant uuid, p_limit int, p_offset int, p_status text) RETURNS SETOF answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a        answer;
  v_tenant uuid := p_tenant;
BEGIN
  IF p_tenant IS NULL THEN
    a := key_check(p_key, 'read');
    IF a.outcome <> 'ok' THEN RETURN NEXT a; RETURN; END IF;
    v_tenant := a.tenant_id;
  END IF;
  RETURN QUERY
    WITH page AS MATERIALIZED (                     -- first the page, then its rendering: OFFSET renders nothing
      SELECT j AS job FROM job j
       WHERE j.tenant_id = v_tenant AND j.deleted_at IS NULL AND (p_status IS NULL OR j.status = p_status::job_status)
       ORDER BY j.created_at DESC, j.id DESC LIMIT p_limit OFFSET p_offset)
    SELECT 'ok', a.key_id, a.tenant_id, a.rate_per_min, a.burst, a.starts_per_min, a.starts_burst, a.scope,
           (job).id, (job).status::text, NULL::smallint, job_json(job)::text, output_of(job), alpha_of(job), n.total
      FROM (SELECT count(*) AS total FROM job j
             WHERE j.tenant_id = v_tenant AND j.deleted_at IS NULL
               AND (p_status IS NULL OR j.status = p_status::job_status)) n
      LEFT JOIN page ON true
     ORDER BY (job).created_at DESC, (job).id DESC;
END $$;

-- Without a key the id is the capability. body: the output's format.
CREATE FUNCTION api_download(p_key bytea, p_job uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer;
BEGIN
  IF p_key IS NOT NULL THEN
    a := key_check(p_key, 'read');
    IF a.outcome <> 'ok' THEN RETURN a; END IF;
  END IF;
  SELECT CASE WHEN j.status <> 'completed'   THEN 'job_not_completed'
              WHEN output_of(j) IS NOT NULL THEN 'ok'
              ELSE 'not_found' END, j.id, j.status, j.output_format, output_of(j)
    INTO a.outcome, a.job_id, a.status, a.body, a.output_key
    FROM job j WHERE j.id = p_job AND (p_key IS NULL OR j.tenant_id = a.tenant_id) AND j.deleted_at IS NULL;
  IF NOT FOUND THEN a.outcome := 'not_found'; END IF;
  RETURN a;
END $$;

CREATE FUNCTION api_pricing() RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer;
BEGIN
  SELECT 'ok', json_build_object('model_pricing_credits_per_minute',
                                 json_object_agg(model, trim_scale(mc_per_second * 60 / 1000.0) ORDER BY model))
    INTO a.outcome, a.body FROM price;
  RETURN a;
END $$;

-- The last p_days days, today included, in UTC; a job that was deleted or is gone still counts. credits_used: what was charged in that time.
CREATE FUNCTION api_usage(p_key bytea, p_tenant uuid, p_days int) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a        answer;
  v_tenant uuid := p_tenant;
  v_today  date := (now() AT TIME ZONE 'UTC')::date;
  v_first  date := v_today - p_days + 1;
BEGIN
  IF p_tenant IS NULL THEN
    a := key_check(p_key, 'read');
    IF a.outcome <> 'ok' THEN RETURN a; END IF;
    v_tenant := a.tenant_id;
  END IF;
  WITH jobs AS (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS made,
           count(*) FILTER (WHERE status = 'completed') AS completed, count(*) FILTER (WHERE status = 'failed') AS failed
      FROM job WHERE tenant_id = v_tenant AND created_at >= v_first::timestamp AT TIME ZONE 'UTC' GROUP BY 1),
  money AS (
    SELECT (at AT TIME ZONE 'UTC')::date AS day, sum(d_spent) AS spent
      FROM credit_entry
     WHERE tenant_id = v_tenant AND kind = 'capture' AND at >= v_first::timestamp AT TIME ZONE 'UTC' GROUP BY 1),
  daily AS (
    SELECT d::date AS date, coalesce(made, 0) + coalesce(u.total_jobs, 0) AS total_jobs,
           coalesce(completed, 0) + coalesce(u.completed_jobs, 0) AS completed_jobs,
           coalesce(failed, 0) + coalesce(u.failed_jobs, 0) AS failed_jobs,
           trim_scale((coalesce(money.spent, 0) + coalesce(u.spent, 0)) / 1000.0) AS credits_used
      FROM generate_series(v_first::timestamp, v_today, '1 day') d
      LEFT JOIN jobs ON jobs.day = d LEFT JOIN money ON money.day = d
      LEFT JOIN usage_day u ON u.tenant_id = v_tenant AND u.day = d)
  SELECT 'ok', json_build_object(
           'total_jobs', sum(total_jobs), 'completed_jobs', sum(completed_jobs), 'failed_jobs', sum(failed_jobs),
           'credits_used', trim_scale(sum(credits_used)),
           'balance', (SELECT trim_scale(available / 1000.0) FROM credit_account WHERE tenant_id = v_tenant),
           'daily', json_agg(row_to_json(daily) ORDER BY date))
    INTO a.outcome, a.body FROM daily;
  RETURN a;
END $$;

-- What was held, charged and released, newest first.
CREATE FUNCTION api_events(p_key bytea, p_tenant uuid, p_limit int) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a        answer;
  v_tenant uuid := p_tenant;
BEGIN
  IF p_tenant IS NULL THEN
    a := key_check(p_key, 'read');
    IF a.outcome <> 'ok' THEN RETURN a; END IF;
    v_tenant := a.tenant_id;
  END IF;
  SELECT 'ok', json_build_object('items', coalesce(json_agg(json_build_object(
           'id', e.id, 'type', CASE e.kind WHEN 'hold' THEN 'held' WHEN 'capture' THEN 'charged' ELSE 'released' END,
           'credits', trim_scale(greatest(d_available, d_held, d_spent) / 1000.0), 'job_id', job_id, 'at', utc_z(at))
           ORDER BY id DESC), '[]'))
    INTO a.outcome, a.body
    FROM (SELECT * FROM credit_entry
           WHERE tenant_id = v_tenant AND kind <> 'grant' ORDER BY id DESC LIMIT p_limit) e;
  RETURN a;
END $$;

-- A delivery as its log shows it: what came back is a status and a time, never a body.
CREATE FUNCTION delivery_json(w webhook_delivery) RETURNS json LANGUAGE sql STABLE SET search_path = matte, pg_temp AS $$
  SELECT json_build_object('id', w.id, 'event', w.event, 'url', w.url, 'state', w.state, 'attempts', w.attempts,
    'last_status', w.last_status, 'last_error', w.last_error, 'created_at', utc_z(w.created_at),
    'next_attempt_at', CASE WHEN w.state = 'pending' AND NOT w.in_flight THEN utc_z(w.next_attempt_at) END, 'done_at', utc_z(w.done_at),
    'log', coalesce((SELECT json_agg(json_build_object('n', n, 'at', utc_z(at), 'status', http_status, 'error', error,
                                                       'ms', ms) ORDER BY n)
                       FROM webhook_attempt WHERE delivery_id = w.id), '[]')) $$;

CREATE FUNCTION api_webhooks(p_key bytea, p_tenant uuid, p_job uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := api_get(p_key, p_tenant, p_job);
BEGIN
  IF a.outcome = 'ok' THEN
    a.body := (SELECT json_build_object('items', coalesce(json_agg(delivery_json(w) ORDER BY w.seq), '[]'))
                 FROM webhook_delivery w WHERE w.job_id = p_job);
  END IF;
  RETURN a;
END $$;

-- ---- idempotency --------------------------------------------------------------------------------------------------
-- The key's row, the job, its start and the stored answer commit together: there is no answered request without its
-- row and no row without its answer.

-- The stored answer; its key is NULL when this request is the first. A twin waits here for the first one's
-- transaction, less long than the module waits for a query (2 s), or it would get 503 where 409 is due.
CREATE FUNCTION idem_begin(p_tenant uuid, p_idem text, p_route text, p_sha bytea) RETURNS idempotency_key
LANGUAGE plpgsql SET lock_timeout = '1500ms' AS $$
DECLARE
  k idempotency_key;
BEGIN
  INSERT INTO idempotency_key AS i (tenant_id, key, route, body_sha256)
    VALUES (p_tenant, p_idem, p_route, p_sha)
    ON CONFLICT (tenant_id, key) DO UPDATE                      -- older than 24 hours: as if it were not there
      SET route = excluded.route, body_sha256 = excluded.body_sha256, response_code = NULL, response_body = NULL,
          created_at = now()
      WHERE i.created_at < now() - interval '24 hours';
  IF FOUND THEN RETURN NULL; END IF;
  SELECT * INTO STRICT k FROM idempotency_key i WHERE i.tenant_id = p_tenant AND i.key = p_idem;
  IF (k.route, k.body_sha256) IS DISTINCT FROM (p_route, p_sha) THEN
    PERFORM refuse('idempotency_mismatch');
  END IF;
  RETURN k;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN    -- the latter: two batches with two keys, crosswise
  PERFORM refuse('idempotency_in_progress');
END $$;

CREATE FUNCTION idem_end(p_tenant uuid, p_idem text, p_code int, p_body text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE idempotency_key SET response_code = p_code, response_body = p_body
    WHERE tenant_id = p_tenant AND key = p_idem;
END $$;

-- Dispatch has changed what the client was told (pending became processing): a replay must say the same.
CREATE FUNCTION api_answered(p_key bytea, p_idem text, p_body text) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
BEGIN
  UPDATE idempotency_key SET response_body = p_body WHERE tenant_id = a.tenant_id AND key = p_idem;
  a.outcome := 'ok';                                    -- the request itself is done; nobody waits for this
  RETURN a;
END $$;

-- ---- writing ------------------------------------------------------------------------------------------------------

-- created or failed -> pending, a new run. Nothing is held yet: the duration is not known.
CREATE FUNCTION job_enqueue(p_job uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  j      job;
  v_rate int;
BEGIN
  SELECT * INTO STRICT j FROM job WHERE id = p_job;
  SELECT mc_per_second INTO STRICT v_rate FROM price WHERE model = j.model;
  IF v_rate > 0 AND (SELECT available FROM credit_account WHERE tenant_id = j.tenant_id) <= 0 THEN
    PERFORM refuse('insufficient_credits');
  END IF;
  IF (SELECT pending FROM tenant_slot WHERE tenant_id = j.tenant_id)
     >= (SELECT max_pending FROM api_key WHERE id = j.api_key_id) THEN
    PERFORM refuse('rate_limited', 10);                        -- when a place is free nobody knows
  END IF;
  IF (SELECT coalesce((SELECT seconds FROM api_key_month WHERE api_key_id = k.id AND month = month_of(now())), 0)
             >= k.max_month_seconds
        FROM api_key k WHERE k.id = j.api_key_id) THEN
    PERFORM refuse('rate_limited',
                   ceil(extract(epoch FROM (month_of(now()) + interval '1 month') AT TIME ZONE 'UTC' - now()))::bigint);
  END IF;
  UPDATE job SET
      status       = 'pending',
      run_no       = run_no + 1,
      attempt      = 0,
      rate_mc_s    = v_rate,
      start_sha256 = start_hash(model, output_format, webhook_url, options),
      pending_at   = clock_timestamp(),
      run_after    = now(),
      progress     = 0,
      frames_done  = 0,
      warnings     = '[]',
      started_at = NULL, finished_at = NULL, cancel_requested_at = NULL, frames_total = NULL,
      billing_status = NULL, held_mc = NULL, charged_mc = NULL,
      last_error = NULL, error_code = NULL, error_detail = NULL
    WHERE id = p_job;
END $$;

-- POST /v1/jobs. p_job is made by the module, which can so render p_body, the answer to give and store, beforehand.
CREATE FUNCTION api_create(p_key bytea, p_idem text, p_sha bytea, p_job uuid, p_model text, p_format text,
                           p_video text, p_webhook text, p_options jsonb, p_metadata json, p_start boolean,
                           p_request_id text, p_code int, p_body text, p_traceparent text DEFAULT NULL)
RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a      answer := key_check(p_key);
  k      idempotency_key;
  v_wait text;
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  IF p_idem IS NOT NULL THEN
    k := idem_begin(a.tenant_id, p_idem, 'POST /v1/jobs', p_sha);
    IF k.key IS NOT NULL THEN
      a.outcome := 'replay'; a.code := k.response_code; a.body := k.response_body;
      RETURN a;
    END IF;
  END IF;
  IF p_video LIKE 'upload://%' AND NOT upload_hold(p_video, a.tenant_id) THEN
    PERFORM refuse('not_found');
  END IF;

  INSERT INTO job (id, tenant_id, api_key_id, model, output_format, video_url, webhook_url, options, metadata,
                   request_id, traceparent)
    VALUES (p_job, a.tenant_id, a.key_id, p_model, p_format, p_video, p_webhook, coalesce(p_options, '{}'),
            p_metadata, p_request_id, p_traceparent);
  IF p_start THEN
    PERFORM job_enqueue(p_job);
  END IF;
  IF p_idem IS NOT NULL THEN
    PERFORM idem_end(a.tenant_id, p_idem, p_code, p_body);
  END IF;
  a.job_id := p_job;
  a.status := CASE WHEN p_start THEN 'pending' ELSE 'created' END;
  a.code   := p_code;
  a.body   := p_body;
  RETURN a;
EXCEPTION WHEN SQLSTATE 'MT400' THEN
  GET STACKED DIAGNOSTICS v_wait = PG_EXCEPTION_HINT;
  RETURN refused(a, SQLERRM, v_wait);
END $$;

-- POST /v1/jobs/{id}/start. A NULL keeps the job's own; p_options is merged over the job's, key by key. On a job that
-- was started the same start does nothing and says so in total = 1; another start is refused. p_prompt: the model pro
-- needs a text_prompt here.
CREATE FUNCTION api_start(p_key bytea, p_idem text, p_sha bytea, p_job uuid, p_model text, p_format text,
                          p_webhook text, p_options jsonb, p_code int, p_body text, p_prompt boolean DEFAULT false)
RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a      answer := key_check(p_key);
  j      job;
  k      idempotency_key;
  v_wait text;
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  IF NOT EXISTS (SELECT FROM job WHERE id = p_job AND tenant_id = a.tenant_id AND deleted_at IS NULL) THEN
    a.outcome := 'not_found';
    RETURN a;
  END IF;
  IF p_idem IS NOT NULL THEN
    k := idem_begin(a.tenant_id, p_idem, format('POST /v1/jobs/%s/start', p_job), p_sha);
    IF k.key IS NOT NULL THEN
      a.outcome := 'replay'; a.code := k.response_code; a.body := k.response_body;
      RETURN a;
    END IF;
  END IF;

  SELECT * INTO j FROM job WHERE id = p_job FOR UPDATE;
  IF NOT FOUND THEN                                             -- its time was over between the two looks
    PERFORM refuse('not_found');
  END IF;
  j.model         := coalesce(p_model, j.model);
  j.output_format := coalesce(p_format, j.output_format);
  j.webhook_url   := coalesce(p_webhook, j.webhook_url);
  j.options       := j.options || coalesce(p_options, '{}');
  a.status        := j.status;
  IF j.status IN ('created', 'failed') THEN
    IF j.video_url LIKE 'upload://%' AND NOT upload_hold(j.video_url, a.tenant_id) THEN
      PERFORM refuse('not_found');                              -- it was not kept that long
    END IF;
    -- the module judges one request; only here are the draft's fields and the start's together
    IF j.output_format = 'mp4' AND coalesce(j.options #>> '{background,type}', 'transparent') = 'transparent'
       OR j.options ? 'text_prompt' AND j.model <> 'pro'
       OR p_prompt AND j.model = 'pro' AND NOT j.options ? 'text_prompt' THEN
      PERFORM refuse('unsupported_combination');
    END IF;
    UPDATE job SET model = j.model, output_format = j.output_format, webhook_url = j.webhook_url, options = j.options
      WHERE id = p_job;
    PERFORM job_enqueue(p_job);
    a.status := 'pending';
  ELSIF j.start_sha256 = start_hash(j.model, j.output_format, j.webhook_url, j.options) THEN
    a.total := 1;
  ELSE
    PERFORM refuse('job_already_started');
  END IF;
  IF p_idem IS NOT NULL THEN
    PERFORM idem_end(a.tenant_id, p_idem, p_code, p_body);
  END IF;
  a.job_id := p_job;
  a.code   := p_code;
  a.body   := p_body;
  RETURN a;
EXCEPTION WHEN SQLSTATE 'MT400' THEN
  GET STACKED DIAGNOSTICS v_wait = PG_EXCEPTION_HINT;
  RETURN refused(a, SQLERRM, v_wait);
END $$;

-- POST /v1/jobs/{id}/cancel: ok with the job as it is now. created, pending: cancelled at once. processing: a wish,
-- granted at the engine's next heartbeat or by the reaper. At its end: nothing is left to do.
CREATE FUNCTION api_cancel(p_key bytea, p_job uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  UPDATE job SET status              = CASE WHEN status = 'processing' THEN status ELSE 'cancelled' END,
                 finished_at         = CASE WHEN status = 'processing' THEN NULL ELSE clock_timestamp() END,
                 cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
    WHERE id = p_job AND tenant_id = a.tenant_id AND deleted_at IS NULL
      AND status IN ('created', 'pending', 'processing');
  SELECT j.id,     j.status, job_json(j), output_of(j), alpha_of(j)
    INTO a.job_id, a.status, a.body,      a.output_key, a.alpha_key
    FROM job j WHERE j.id = p_job AND j.tenant_id = a.tenant_id AND j.deleted_at IS NULL;
  IF NOT FOUND THEN a.outcome := 'not_found'; END IF;
  RETURN a;
END $$;

-- DELETE /v1/jobs/{id}: cancelled if it is not at its end, gone from every other route, its files removed; again: the
-- same. What the row still holds is what an account of the past needs.
CREATE FUNCTION api_delete(p_key bytea, p_job uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
  j job;
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  PERFORM api_cancel(p_key, p_job);
  UPDATE job SET deleted_at = clock_timestamp(), metadata = NULL
    WHERE id = p_job AND tenant_id = a.tenant_id AND deleted_at IS NULL RETURNING * INTO j;
  IF j.finished_at IS NOT NULL THEN
    PERFORM job_forget(j);                          -- while it runs: when it ends
  END IF;
  SELECT q.id, q.status INTO a.job_id, a.status FROM job q WHERE q.id = p_job AND q.tenant_id = a.tenant_id;
  IF NOT FOUND THEN a.outcome := 'not_found'; END IF;
  RETURN a;
END $$;

CREATE FUNCTION api_redeliver(p_key bytea, p_job uuid, p_delivery uuid) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  PERFORM FROM webhook_delivery d JOIN job j ON j.id = d.job_id
    WHERE d.id = p_delivery AND j.id = p_job AND j.tenant_id = a.tenant_id AND j.deleted_at IS NULL
    FOR KEY SHARE OF j;                                         -- sweep_jobs passes by what is held
  IF NOT FOUND THEN
    a.outcome := 'not_found';
    RETURN a;
  END IF;
  PERFORM webhook_redeliver(p_delivery);
  a.job_id := p_job;
  a.body   := (SELECT delivery_json(d) FROM webhook_delivery d WHERE d.id = p_delivery);
  RETURN a;
END $$;

-- ---- uploads ------------------------------------------------------------------------------------------------------

-- What the client may still keep here, in bytes.
CREATE FUNCTION upload_room(p_tenant uuid) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT t.max_upload_bytes - coalesce((SELECT sum(bytes) FROM upload u
                                                 WHERE u.tenant_id = t.id AND u.deleted_at IS NULL), 0)
            FROM tenant t WHERE t.id = p_tenant);
END $$;

-- POST /v1/uploads, before its body is read. total: the room.
CREATE FUNCTION api_upload_begin(p_key bytea) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
BEGIN
  IF a.outcome = 'ok' THEN
    a.total := upload_room(a.tenant_id);
  END IF;
  RETURN a;
END $$;

-- The file of p_upload is in its place.
CREATE FUNCTION api_upload(p_key bytea, p_upload uuid, p_filename text, p_bytes bigint, p_sha bytea) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer := key_check(p_key);
BEGIN
  IF a.outcome <> 'ok' THEN RETURN a; END IF;
  PERFORM FROM tenant WHERE id = a.tenant_id FOR NO KEY UPDATE;         -- two uploads do not share the last room
  IF p_bytes > upload_room(a.tenant_id) THEN
    a.outcome := 'too_large';
    RETURN a;
  END IF;
  INSERT INTO upload (id, tenant_id, filename, bytes, sha256)
    VALUES (p_upload, a.tenant_id, p_filename, p_bytes, p_sha);
  RETURN a;
END $$;
