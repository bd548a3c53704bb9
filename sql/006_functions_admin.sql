-- The operator's functions: clients, keys, credits. Amounts are the API's credits here; inside they are millicredits.
SET LOCAL search_path = matte;

CREATE EXTENSION pgcrypto SCHEMA matte;             -- for gen_random_bytes alone

CREATE FUNCTION tenant_of(p_client text) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_tenant uuid := (SELECT id FROM tenant WHERE client_id = p_client);
BEGIN
  IF v_tenant IS NULL THEN
    RAISE EXCEPTION 'There is no client "%".', p_client USING ERRCODE = 'no_data_found';
  END IF;
  RETURN v_tenant;
END $$;

-- Adds credits, or takes unspent ones back when negative. The new balance.
CREATE FUNCTION credit_grant(p_client text, p_credits numeric, p_note text) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_tenant uuid := tenant_of(p_client);
BEGIN
  INSERT INTO credit_entry (tenant_id, kind, d_available, note) VALUES (v_tenant, 'grant', p_credits * 1000, p_note);
  RETURN (SELECT trim_scale(available / 1000.0) FROM credit_account WHERE tenant_id = v_tenant);
END $$;

CREATE FUNCTION tenant_create(p_client text, p_credits numeric) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_tenant uuid;
BEGIN
  INSERT INTO tenant (client_id) VALUES (p_client) RETURNING id INTO v_tenant;
  PERFORM credit_grant(p_client, p_credits, 'the first');
  RETURN v_tenant;
END $$;

-- ---- keys ---------------------------------------------------------------------------------------------------------

-- The last p_digits base62 digits of a big-endian number.
CREATE FUNCTION base62(p_bytes bytea, p_digits int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  c_alphabet CONSTANT text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  v_number   numeric := 0;
  v_digits   text := '';
BEGIN
  FOR i IN 0 .. octet_length(p_bytes) - 1 LOOP
    v_number := v_number * 256 + get_byte(p_bytes, i);
  END LOOP;
  FOR i IN 1 .. p_digits LOOP
    v_digits := substr(c_alphabet, (v_number % 62)::int + 1, 1) || v_digits;
    v_number := div(v_number, 62);
  END LOOP;
  RETURN v_digits;
END $$;

-- The key, shown this once: a fingerprint to speak about it, then 256 random bits (43 digits of base62 hold them).
CREATE FUNCTION key_create(p_client text, p_note text, p_scope text DEFAULT 'read write',
                           p_expires_at timestamptz DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_fingerprint text := 'mt_live_' || base62(gen_random_bytes(8), 6);
  v_key         text := v_fingerprint || '_' || base62(gen_random_bytes(32), 43);
BEGIN
  INSERT INTO api_key (tenant_id, fingerprint, key_hash, note, scope, expires_at)
    VALUES (tenant_of(p_client), v_fingerprint, sha256(convert_to(v_key, 'UTF8')), p_note, p_scope, p_expires_at);
  RETURN v_key;
END $$;

CREATE FUNCTION key_set(p_fingerprint text, p_disabled_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE api_key SET disabled_at = p_disabled_at WHERE fingerprint = p_fingerprint;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'There is no key "%".', p_fingerprint USING ERRCODE = 'no_data_found';
  END IF;
END $$;

CREATE FUNCTION key_disable(p_fingerprint text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
BEGIN PERFORM key_set(p_fingerprint, now()); END $$;

CREATE FUNCTION key_enable(p_fingerprint text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
BEGIN PERFORM key_set(p_fingerprint, NULL); END $$;

-- ---- the module's admin routes: it has checked the operator's token -------------------------------------------------

CREATE FUNCTION key_json(k api_key) RETURNS json LANGUAGE sql STABLE SET search_path = matte, pg_temp AS $$
  SELECT json_build_object(
    'client_id', (SELECT client_id FROM tenant WHERE id = k.tenant_id), 'key_fingerprint', k.fingerprint,
    'note', k.note, 'scope', k.scope, 'enabled', k.disabled_at IS NULL, 'created_at', utc_z(k.created_at),
    'expires_at', utc_z(k.expires_at), 'disabled_at', utc_z(k.disabled_at), 'last_used_at', utc_z(k.last_used_at),
    'limits', json_build_object(
      'requests_per_minute', k.rate_per_min, 'burst', k.burst,
      'starts_per_minute', k.starts_per_min, 'starts_burst', k.starts_burst,
      'queued_jobs', k.max_pending,
      'running_jobs', (SELECT max_processing FROM tenant_slot WHERE tenant_id = k.tenant_id),
      'video_seconds', k.max_video_seconds, 'month_seconds', k.max_month_seconds),
    'month_seconds_used', coalesce((SELECT seconds FROM api_key_month
                                     WHERE api_key_id = k.id AND month = month_of(now())), 0)) $$;

-- Newest first, in a page as jobs are listed.
CREATE FUNCTION api_keys(p_limit int, p_offset int) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer;
BEGIN
  SELECT 'ok', (SELECT count(*) FROM api_key),
         json_build_object('items', coalesce(json_agg(key_json(k) ORDER BY k.id DESC), '[]'),
                           'total', (SELECT count(*) FROM api_key), 'limit', p_limit, 'offset', p_offset,
                           'has_more', (SELECT count(*) FROM api_key) > p_offset + count(*))
    INTO a.outcome, a.total, a.body
    FROM (SELECT * FROM api_key ORDER BY id DESC LIMIT p_limit OFFSET p_offset) k;
  RETURN a;
END $$;

-- A client that is not there yet is made, without credits. body: the key itself, this once.
CREATE FUNCTION api_key_create(p_client text, p_note text, p_scope text, p_expires_at timestamptz) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a     answer;
  v_key text;
BEGIN
  INSERT INTO tenant (client_id) VALUES (p_client) ON CONFLICT DO NOTHING;
  v_key := key_create(p_client, p_note, coalesce(p_scope, 'read write'), p_expires_at);
  SELECT 'ok', 201, jsonb_build_object('success', true, 'api_key', v_key) || key_json(k)::jsonb
    INTO a.outcome, a.code, a.body
    FROM api_key k WHERE k.key_hash = sha256(convert_to(v_key, 'UTF8'));
  RETURN a;
END $$;

CREATE FUNCTION api_key_enable(p_fingerprint text, p_enable boolean) RETURNS answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  a answer;
BEGIN
  UPDATE api_key k SET disabled_at = CASE WHEN NOT p_enable THEN coalesce(disabled_at, now()) END
    WHERE fingerprint = p_fingerprint
    RETURNING 'ok', jsonb_build_object('success', true) || key_json(k)::jsonb INTO a.outcome, a.body;
  IF NOT FOUND THEN a.outcome := 'not_found'; END IF;
  RETURN a;
END $$;

-- ---- webhook secrets ----------------------------------------------------------------------------------------------

-- A new one, which `matted -s` shows. The one before it signs too for as long as p_keep says; one that is older is
-- forgotten now.
CREATE FUNCTION webhook_secret_rotate(p_client text, p_keep interval DEFAULT '24 hours') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = matte, pg_temp AS $$
DECLARE
  v_tenant uuid := tenant_of(p_client);
BEGIN
  DELETE FROM webhook_secret WHERE tenant_id = v_tenant AND expires_at IS NOT NULL;
  UPDATE webhook_secret SET expires_at = now() + p_keep WHERE tenant_id = v_tenant;
  INSERT INTO webhook_secret (tenant_id) VALUES (v_tenant);
END $$;
