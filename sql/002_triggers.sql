-- Triggers: the only place where a transition is judged, audited, counted, settled, announced and notified.
-- Whatever code changes job.status, all of this happens in that same transaction or not at all.
SET LOCAL search_path = matte;

-- A tenant without its slot row would have jobs that nobody can ever claim: what a tenant needs is made with it.
CREATE FUNCTION tenant_init() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  INSERT INTO tenant_slot    (tenant_id) VALUES (NEW.id);
  INSERT INTO credit_account (tenant_id) VALUES (NEW.id);
  INSERT INTO webhook_secret (tenant_id) VALUES (NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER tenant_init AFTER INSERT ON tenant FOR EACH ROW EXECUTE FUNCTION tenant_init();

-- The servers remember keys for a while: whatever changes what a key may do tells them which one to forget.
CREATE FUNCTION key_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  IF TG_TABLE_NAME = 'api_key' THEN
    PERFORM pg_notify('matte_keys', encode(NEW.key_hash, 'hex'));
  ELSE
    PERFORM pg_notify('matte_keys', encode(k.key_hash, 'hex')) FROM api_key k WHERE k.tenant_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER key_changed
  AFTER UPDATE OF scope, rate_per_min, burst, starts_per_min, starts_burst, expires_at, disabled_at ON api_key
  FOR EACH ROW EXECUTE FUNCTION key_changed();
CREATE TRIGGER key_changed AFTER UPDATE OF suspended_at ON tenant FOR EACH ROW EXECUTE FUNCTION key_changed();

-- ---- a transition ------------------------------------------------------------------------------------------------
--
--   created -start-> pending -claim-> processing -complete-> completed      created, pending -cancel-> cancelled
--                       ^<-retry, lease expired, release-| |-permanent, attempts spent-> failed -start-> pending
--                                                        |-cancel was asked for-> cancelled

-- Refuses every transition that is not drawn above; sets billing_status.
CREATE FUNCTION job_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  IF OLD.status IN ('completed', 'cancelled')
     OR (OLD.status = 'failed' AND NEW.run_no <> OLD.run_no + 1) THEN          -- only a new run leaves 'failed'
    RAISE EXCEPTION 'job % is at its end: %', OLD.id, OLD.status USING ERRCODE = 'MT001';
  END IF;
  IF (OLD.status, NEW.status) NOT IN (
      ('created', 'pending'),    ('created', 'cancelled'),
      ('pending', 'processing'), ('pending', 'cancelled'),
      ('processing', 'pending'), ('processing', 'completed'), ('processing', 'failed'), ('processing', 'cancelled'),
      ('failed', 'pending')) THEN
    RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'MT002';
  END IF;
  IF NEW.status = 'completed' THEN
    NEW.billing_status := 'charged';
  ELSIF NEW.status IN ('failed', 'cancelled') AND NEW.held_mc IS NOT NULL THEN
    NEW.billing_status := 'released';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER job_guard BEFORE UPDATE OF status ON job FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.status IN ('completed', 'failed', 'cancelled'))
  EXECUTE FUNCTION job_guard();

-- Lock order everywhere: job, then tenant_slot, then credit_account.
CREATE FUNCTION job_after() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
DECLARE
  v_event text;
BEGIN
  -- the audit
  IF TG_OP = 'INSERT' THEN
    INSERT INTO job_transition (job_id, to_status, run_no, attempt, lease_no)
      VALUES (NEW.id, NEW.status, NEW.run_no, NEW.attempt, NEW.lease_no);
    RETURN NULL;
  END IF;
  INSERT INTO job_transition (job_id, from_status, to_status, run_no, attempt, lease_no, engine_id, reason)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.run_no, NEW.attempt, NEW.lease_no,
            coalesce(NEW.engine_id, OLD.engine_id),
            CASE WHEN OLD.status = 'processing' AND NEW.status IN ('pending', 'failed') THEN NEW.last_error END);

  -- the scheduler
  UPDATE tenant_slot s SET
    pending    = pending    + (NEW.status = 'pending')::int    - (OLD.status = 'pending')::int,
    processing = processing + (NEW.status = 'processing')::int - (OLD.status = 'processing')::int,
    vtime = CASE
      WHEN NEW.status = 'pending' AND s.pending + s.processing = 0 THEN  -- an idle tenant wakes: no credit for sleep
        greatest(vtime, coalesce((SELECT min(o.vtime) FROM tenant_slot o WHERE o.pending + o.processing > 0), vtime))
      WHEN NEW.status = 'processing' THEN vtime + NEW.cost_s / weight
      ELSE vtime END
    WHERE s.tenant_id = NEW.tenant_id;

  -- the money: one end, one settlement
  IF NEW.status = 'completed' THEN
    INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_held, d_spent, at)
      SELECT NEW.tenant_id, NEW.id, NEW.run_no, 'capture', -NEW.charged_mc, NEW.charged_mc, NEW.finished_at
       WHERE NEW.charged_mc > 0;
    INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_available, d_held)
      SELECT NEW.tenant_id, NEW.id, NEW.run_no, 'release', NEW.held_mc - NEW.charged_mc, NEW.charged_mc - NEW.held_mc
       WHERE NEW.held_mc > NEW.charged_mc;
  ELSIF NEW.status IN ('failed', 'cancelled') THEN
    INSERT INTO credit_entry (tenant_id, job_id, run_no, kind, d_available, d_held)
      SELECT NEW.tenant_id, NEW.id, NEW.run_no, 'release', NEW.held_mc, -NEW.held_mc
       WHERE NEW.held_mc > 0;
  END IF;

  -- the engines: no payload, so that duplicates in one transaction fold; never for progress, as NOTIFY locks the
  -- whole database at commit
  IF NEW.status = 'pending' THEN
    NOTIFY matte_jobs;
  END IF;

  -- the client's webhook
  v_event := CASE WHEN NEW.status = 'processing' AND NEW.attempt = 1            THEN 'job.started'
                  WHEN NEW.status IN ('completed', 'failed', 'cancelled') THEN 'job.' || NEW.status END;
  IF v_event IS NOT NULL AND NEW.webhook_url IS NOT NULL THEN
    PERFORM webhook_enqueue(NEW, v_event);
  END IF;

  -- its files, if it was deleted while it ran
  IF NEW.deleted_at IS NOT NULL AND NEW.finished_at IS NOT NULL THEN
    PERFORM job_forget(NEW);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER job_after_insert AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION job_after();
CREATE TRIGGER job_after_update AFTER UPDATE OF status ON job FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION job_after();

-- Whoever deletes a job: what belongs to it goes too, and the sums stay. What is queued or at work cannot go.

CREATE FUNCTION job_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'job % is %: its row stays', OLD.id, OLD.status USING ERRCODE = 'MT002';
END $$;
CREATE TRIGGER job_keep BEFORE DELETE ON job FOR EACH ROW
  WHEN (OLD.status IN ('pending', 'processing')) EXECUTE FUNCTION job_keep();

CREATE FUNCTION job_gone() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  INSERT INTO usage_day AS u (tenant_id, day, total_jobs, completed_jobs, failed_jobs, spent)
    SELECT tenant_id, (at AT TIME ZONE 'UTC')::date, sum(made), sum(completed), sum(failed), sum(charged)
      FROM (SELECT tenant_id, created_at AS at, 1 AS made, (status = 'completed')::int AS completed,
                   (status = 'failed')::int AS failed, 0 AS charged FROM gone
            UNION ALL
            SELECT tenant_id, finished_at, 0, 0, 0, charged_mc FROM gone WHERE charged_mc > 0) j
     GROUP BY 1, 2 ORDER BY 1, 2                    -- in one order, so that two sweeps do not deadlock
    ON CONFLICT (tenant_id, day) DO UPDATE
      SET total_jobs     = u.total_jobs     + excluded.total_jobs,
          completed_jobs = u.completed_jobs + excluded.completed_jobs,
          failed_jobs    = u.failed_jobs    + excluded.failed_jobs,
          spent          = u.spent          + excluded.spent;
  RETURN NULL;
END $$;
CREATE TRIGGER job_gone AFTER DELETE ON job REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION job_gone();

-- The month of its key follows what is held or charged. A hold may not pass the key's limit; an end always counts.
CREATE FUNCTION job_month() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
DECLARE
  v_delta   bigint := billed_seconds(NEW) - billed_seconds(OLD);
  v_month   date   := month_of(NEW.started_at);
  v_seconds bigint;
BEGIN
  IF v_delta > 0 THEN
    INSERT INTO api_key_month AS m VALUES (NEW.api_key_id, v_month, v_delta)
      ON CONFLICT (api_key_id, month) DO UPDATE SET seconds = m.seconds + v_delta
      RETURNING m.seconds INTO v_seconds;
    IF NEW.billing_status = 'held' AND v_seconds > (SELECT max_month_seconds FROM api_key WHERE id = NEW.api_key_id) THEN
      RAISE check_violation USING CONSTRAINT = 'month_within_limit';
    END IF;
  ELSIF v_delta < 0 THEN
    UPDATE api_key_month SET seconds = seconds + v_delta WHERE api_key_id = NEW.api_key_id AND month = v_month;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER job_month AFTER UPDATE ON job FOR EACH ROW
  WHEN (OLD.billing_status IS DISTINCT FROM NEW.billing_status AND NEW.billing_status IS NOT NULL)
  EXECUTE FUNCTION job_month();

-- ---- the ledger --------------------------------------------------------------------------------------------------

-- The account follows its entries.
CREATE FUNCTION credit_apply() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  UPDATE credit_account SET available = available + NEW.d_available,
                            held      = held      + NEW.d_held,
                            spent     = spent     + NEW.d_spent
    WHERE tenant_id = NEW.tenant_id;
  RETURN NULL;
END $$;
CREATE TRIGGER credit_apply AFTER INSERT ON credit_entry FOR EACH ROW EXECUTE FUNCTION credit_apply();

-- A row goes when its job has gone, and not otherwise.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = matte, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.job_id IS NOT NULL AND NOT EXISTS (SELECT FROM job WHERE id = OLD.job_id) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'MT003';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_entry   FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON job_transition FOR EACH ROW EXECUTE FUNCTION append_only();
