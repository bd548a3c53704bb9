-- What the module's and the engine's functions share. Nothing here may be called by a role of its own; the entry
-- points of the next files set the search_path.
--
-- Scalar SQL functions are inlined into the caller's plan. PL/pgSQL keeps its plans for the session; an SQL function
-- with a subquery would be planned again at every call.
SET LOCAL search_path = matte;

-- ---- prices, inputs, options --------------------------------------------------------------------------------------

-- By the started second of output.
CREATE FUNCTION price_mc(p_ms bigint, p_rate int) RETURNS bigint IMMUTABLE
RETURN greatest(1, ceil(p_ms / 1000.0))::bigint * p_rate;

-- The upload that a video_url names. NULL: it names none.
CREATE FUNCTION upload_of(p_video text) RETURNS uuid IMMUTABLE
RETURN substring(p_video FROM '^upload://([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$')::uuid;

-- 'transparent' or '#rrggbb'.
CREATE FUNCTION background_of(p_options jsonb) RETURNS text IMMUTABLE
RETURN CASE p_options #>> '{background,type}'
         WHEN 'color' THEN '#' || lpad(to_hex((p_options #>> '{background,color,0}')::int * 65536
                                            + (p_options #>> '{background,color,1}')::int * 256
                                            + (p_options #>> '{background,color,2}')::int), 6, '0')
         ELSE 'transparent' END;

-- The key of its alpha's own file. NULL: it has none.
CREATE FUNCTION alpha_key(j job) RETURNS text IMMUTABLE
RETURN CASE WHEN j.alpha_bytes IS NOT NULL THEN regexp_replace(j.output_key, '[.][a-z0-9]+$', '.alpha.mp4') END;

-- The keys of its output and of its alpha, for as long as there are such files.
CREATE FUNCTION output_of(j job) RETURNS text STABLE
RETURN CASE WHEN j.output_removed_at IS NULL THEN j.output_key END;
CREATE FUNCTION alpha_of(j job) RETURNS text STABLE
RETURN CASE WHEN j.output_removed_at IS NULL THEN alpha_key(j) END;

-- Seconds of output that a job takes from its key's month; what is released takes none.
CREATE FUNCTION billed_seconds(j job) RETURNS bigint IMMUTABLE
RETURN CASE j.billing_status
         WHEN 'held'    THEN greatest(1, ceil(j.cost_s))
         WHEN 'charged' THEN greatest(1, least(ceil(j.cost_s), ceil(j.output_ms / 1000.0)))
         ELSE 0 END::bigint;

CREATE FUNCTION month_of(p_time timestamptz) RETURNS date IMMUTABLE
RETURN date_trunc('month', p_time AT TIME ZONE 'UTC')::date;

-- What a start means once it is merged with the job: two starts with one hash are the same start. The text of jsonb is
-- canonical.
CREATE FUNCTION start_hash(p_model text, p_format text, p_webhook text, p_options jsonb) RETURNS bytea IMMUTABLE
RETURN sha256(convert_to(jsonb_build_array(p_model, p_format, p_webhook, p_options)::text, 'UTF8'));

-- A factor on the delays before retries, for tests only.
CREATE FUNCTION backoff_scale() RETURNS float8 STABLE
RETURN coalesce(nullif(current_setting('matte.backoff_scale', true), '')::float8, 1);

-- ---- a job as the API shows it ------------------------------------------------------------------------------------

CREATE FUNCTION utc_z(p_time timestamptz) RETURNS text STABLE
RETURN to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- The API's job object, the only rendering of it, in the contract's order and without output_url and alpha_url, which are
-- signed by whoever sends it. row_to_json writes no blanks. Both subqueries run only for jobs that need them: a poll of a job
-- without a webhook reads one row.
CREATE FUNCTION job_json(j job) RETURNS json LANGUAGE plpgsql STABLE STRICT SET search_path = matte, pg_temp AS $$
BEGIN
  RETURN (SELECT row_to_json(r) FROM (SELECT
    j.id                                              AS id,
    j.id                                              AS job_id,
    j.status                                          AS status,
    j.progress                                        AS progress,
    j.model                                           AS model,
    j.output_format                                   AS output_format,
    coalesce(j.error_detail, j.error_code)            AS error,
    j.error_code                                      AS error_code,
    utc_z(j.created_at)                               AS created_at,
    utc_z(j.started_at)                               AS started_at,
    utc_z(j.finished_at)                              AS completed_at,
    trim_scale(j.output_ms / 1000.0)                  AS duration_seconds,
    j.billing_status                                  AS billing_status,
    CASE j.billing_status
      WHEN 'released' THEN 0
      ELSE trim_scale(coalesce(j.charged_mc, j.held_mc) / 1000.0) END
                                                      AS credits,
    j.webhook_url                                     AS webhook_url,
    CASE WHEN j.webhook_url IS NULL THEN '{}'
      ELSE coalesce((SELECT json_object_agg(w.event, json_build_object(
                              'state', w.state, 'attempts', w.attempts, 'last_status', w.last_status,
                              'at', utc_z(w.last_at)) ORDER BY w.seq)
                       FROM webhook_delivery w WHERE w.job_id = j.id AND w.run_no = j.run_no), '{}') END
                                                      AS webhook_events,
    j.metadata                                        AS metadata,
    j.warnings                                        AS warnings,
    CASE WHEN j.output_key IS NOT NULL THEN (SELECT row_to_json(o) FROM (SELECT
      j.output_bytes                                  AS bytes,
      encode(j.output_sha256, 'hex')                  AS sha256,
      j.output_width                                  AS width,
      j.output_height                                 AS height,
      j.output_frames                                 AS frames,
      j.alpha_bytes                                   AS alpha_bytes,
      encode(j.alpha_sha256, 'hex')                   AS alpha_sha256) o) END
                                                      AS output,
    CASE WHEN j.status = 'pending' THEN
      (SELECT count(*) FROM (SELECT FROM job q        -- 1: the client's next; counted up to 100 to stay cheap
                              WHERE q.tenant_id = j.tenant_id AND q.status = 'pending'
                                AND (q.priority, q.pending_at, q.id) <= (j.priority, j.pending_at, j.id)
                              LIMIT 100) ahead) END
                                                      AS queue_position,
    j.request_id                                      AS request_id) r);
END $$;

-- ---- the end of an attempt ----------------------------------------------------------------------------------------

-- An attempt that ended without a result: cancelled, pending again after p_delay, or failed. The caller has locked
-- the row and seen that the lease holds.
CREATE FUNCTION job_unlease(j job, p_code text, p_detail text, p_retry boolean, p_delay interval) RETURNS job_status
LANGUAGE plpgsql AS $$
DECLARE
  v_verdict job_status := CASE WHEN j.cancel_requested_at IS NOT NULL           THEN 'cancelled'
                               WHEN p_retry AND j.attempt < j.max_attempts THEN 'pending'
                               ELSE 'failed' END;
BEGIN
  UPDATE job SET
      status           = v_verdict,
      engine_id        = NULL,
      lease_expires_at = NULL,
      last_error       = p_code,
      error_code       = CASE WHEN v_verdict = 'failed' THEN p_code END,
      error_detail     = CASE WHEN v_verdict = 'failed' THEN left(p_detail, 1000) END,
      finished_at      = CASE WHEN v_verdict <> 'pending' THEN clock_timestamp() END,
      run_after        = clock_timestamp() + p_delay
    WHERE id = j.id;
  RETURN v_verdict;
END $$;

-- ---- files that go ------------------------------------------------------------------------------------------------

-- The upload that a video_url names, held until the transaction's end: whoever would remove it waits, and then sees
-- what was made of it. False: there is none.
CREATE FUNCTION upload_hold(p_video text, p_tenant uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM upload WHERE id = upload_of(p_video) AND tenant_id = p_tenant AND deleted_at IS NULL FOR SHARE;
  RETURN FOUND;
END $$;

-- Jobs that still want an upload: those that are not deleted, or not yet at their end. p_keep: of those that wait for
-- nothing only such as are younger.
CREATE FUNCTION upload_wanted(p_upload uuid, p_keep interval) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM job q
                  WHERE q.video_url = 'upload://' || p_upload AND q.video_url LIKE 'upload://%'
                    AND CASE WHEN q.status IN ('pending', 'processing') THEN true
                             WHEN q.deleted_at IS NOT NULL              THEN false
                             ELSE p_keep IS NULL OR coalesce(q.finished_at, q.created_at) > now() - p_keep END);
END $$;

-- Locked first and looked at then: a statement of its own sees the jobs of all who have held it.
CREATE FUNCTION upload_forget(p_upload uuid, p_keep interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  u upload;
BEGIN
  SELECT * INTO u FROM upload WHERE id = p_upload AND deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND OR upload_wanted(u.id, p_keep) THEN
    RETURN false;
  END IF;
  UPDATE upload SET deleted_at = now() WHERE id = u.id;
  INSERT INTO removal (path) VALUES (format('uploads/%s/%s', u.tenant_id, u.id)) ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- Of a deleted job its files, and its upload unless another job may still want that.
CREATE FUNCTION job_forget(j job) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO removal (path)
    SELECT 'outputs/' || key FROM unnest(ARRAY[j.output_key, alpha_key(j)]) key WHERE key IS NOT NULL
    ON CONFLICT DO NOTHING;
  PERFORM upload_forget(upload_of(j.video_url), NULL);
END $$;
