-- Roles: what each may call, and nothing else. The entry points run as the owner of the tables; the module and the
-- engine have no right on any table. The operator reads everything but the keys' hashes.
SET LOCAL search_path = matte;

DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY '{matte_api,matte_engine,matte_admin}'::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN         -- roles are the cluster's, not the database's
      EXECUTE format('CREATE ROLE %I LOGIN', r);
    END IF;
  END LOOP;
END $$;

-- A long transaction keeps dead rows of the queue alive for everybody.
ALTER ROLE matte_api    SET statement_timeout = '5s';
ALTER ROLE matte_engine SET statement_timeout = '5s';
ALTER ROLE matte_api    SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE matte_engine SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE matte_admin  SET idle_in_transaction_session_timeout = '10s';

GRANT USAGE ON SCHEMA matte TO matte_api, matte_engine, matte_admin;

GRANT EXECUTE ON FUNCTION api_get, api_list, api_download, api_create, api_start, api_cancel, api_delete, api_answered,
                          api_pricing, api_usage, api_events, api_webhooks, api_redeliver,
                          api_keys, api_key_create, api_key_enable,
                          api_upload_begin, api_upload
  TO matte_api;
GRANT EXECUTE ON FUNCTION job_claim, job_heartbeat, job_hold, job_complete, job_fail, job_release, job_reap,
                          sweep_due, sweep_done, sweep_jobs, sweep_rows, sweep_unclaimed, webhook_claim, webhook_done,
                          webhook_keys, webhook_secret
  TO matte_engine;
GRANT EXECUTE ON FUNCTION tenant_create, key_create, key_disable, key_enable, credit_grant, webhook_secret_rotate
  TO matte_admin;

GRANT SELECT ON tenant, tenant_slot, api_key_month, price, upload, job, job_transition, removal, credit_account,
                credit_entry, usage_day, idempotency_key, webhook_secret, webhook_key, webhook_endpoint, webhook_delivery,
                webhook_attempt, violation, migration
  TO matte_admin;
GRANT SELECT (id, tenant_id, fingerprint, note, scope, rate_per_min, burst, starts_per_min, starts_burst, max_pending,
              max_video_seconds, max_month_seconds, created_at, expires_at, disabled_at, last_used_at) ON api_key
  TO matte_admin;
