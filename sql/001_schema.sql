-- Tables of the jobs, the credit ledger, the requests seen and the webhook outbox.
--
-- Status names are those of the public API: created (a draft), pending (waits for a worker), processing, completed,
-- failed, cancelled. The API's completed_at is finished_at here; its credits are millicredits / 1000. All money is in
-- whole millicredits (mc). Functions write; constraints make a wrong write fail.
SET LOCAL search_path = matte;

-- Nobody may call a function until a role is given it: 008_roles.sql is the whole list.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TYPE job_status     AS ENUM ('created', 'pending', 'processing', 'completed', 'failed', 'cancelled');
CREATE TYPE billing_status AS ENUM ('held', 'charged', 'released');          -- NULL: nothing was held

-- ---- who ----------------------------------------------------------------------------------------------------------

CREATE TABLE tenant (                               -- the API's client_id; owns jobs, uploads, keys and the balance
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  client_id    text NOT NULL UNIQUE,
  max_upload_bytes bigint NOT NULL DEFAULT 20 * 1024^3,     -- of its uploads that are not deleted, together
  suspended_at timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT client_id_length CHECK (length(client_id) BETWEEN 1 AND 200),
  CONSTRAINT upload_quota     CHECK (max_upload_bytes >= 0));

CREATE TABLE api_key (                              -- the unit of limits; every key of a client sees all its jobs
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id         uuid NOT NULL REFERENCES tenant,
  fingerprint       text NOT NULL UNIQUE,           -- the start of the key: for people, logs and the admin API
  key_hash          bytea NOT NULL UNIQUE,          -- SHA-256 of the whole key: 256 random bits need no slow hash
  note              text,
  scope             text NOT NULL DEFAULT 'read write',     -- write: whatever is not a GET
  rate_per_min      int NOT NULL DEFAULT 600,               -- requests
  burst             int NOT NULL DEFAULT 60,
  starts_per_min    int,                            -- starts of jobs; NULL: not counted apart from the requests
  starts_burst      int NOT NULL DEFAULT 10,
  max_pending       int NOT NULL DEFAULT 1000,
  max_video_seconds int NOT NULL DEFAULT 3600,
  max_month_seconds bigint,                         -- of output, a calendar month (UTC); NULL: no limit
  created_at        timestamptz NOT NULL DEFAULT now(),
  expires_at        timestamptz,
  disabled_at       timestamptz,
  last_used_at      timestamptz,                    -- written at most once a minute, not once a request
  CONSTRAINT fingerprint_form CHECK (fingerprint ~ '^mt_(live|test)_[0-9A-Za-z]{6}$'),
  CONSTRAINT key_hash_sha256  CHECK (octet_length(key_hash) = 32),
  CONSTRAINT key_scope        CHECK (scope IN ('read', 'write', 'read write')),
  CONSTRAINT key_limits       CHECK (rate_per_min > 0 AND burst > 0 AND starts_per_min > 0 AND starts_burst > 0
                                 AND max_pending >= 0 AND max_video_seconds > 0 AND max_month_seconds >= 0));

CREATE TABLE api_key_month (                        -- output seconds held or charged, by the month of the job's claim
  api_key_id bigint NOT NULL REFERENCES api_key,
  month      date NOT NULL,
  seconds    bigint NOT NULL,
  PRIMARY KEY (api_key_id, month),
  CONSTRAINT month_seconds CHECK (seconds >= 0)
) WITH (fillfactor = 50);

-- Scheduler state, one row a tenant. A claim picks the tenant here first and then its oldest job, so that its cost
-- does not grow with the backlog. Every transition rewrites a row: half of each page is left for new versions.
CREATE TABLE tenant_slot (
  tenant_id      uuid PRIMARY KEY REFERENCES tenant,
  vtime          double precision NOT NULL DEFAULT 0,     -- output seconds served / weight; the smallest goes first
  weight         double precision NOT NULL DEFAULT 1,
  pending        int NOT NULL DEFAULT 0,
  processing     int NOT NULL DEFAULT 0,
  max_processing int NOT NULL DEFAULT 4,
  CONSTRAINT slot_counts CHECK (pending >= 0 AND processing >= 0 AND max_processing >= 0),
  CONSTRAINT slot_weight CHECK (weight > 0)
) WITH (fillfactor = 50);

-- ---- what they send -----------------------------------------------------------------------------------------------

CREATE TABLE price (                                -- the models that can be asked for, and what a second costs
  model         text PRIMARY KEY,
  mc_per_second int NOT NULL,
  CONSTRAINT price_not_negative CHECK (mc_per_second >= 0));
INSERT INTO price VALUES ('original', 1000), ('light', 750), ('pro', 3000), ('human', 750);

CREATE TABLE upload (                               -- its file: uploads/<tenant_id>/<id> under the state folder
  id         uuid PRIMARY KEY,
  tenant_id  uuid NOT NULL REFERENCES tenant,
  filename   text NOT NULL,
  bytes      bigint NOT NULL,
  sha256     bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,                           -- the file is gone; no new job may name it
  CONSTRAINT upload_filename CHECK (octet_length(filename) BETWEEN 1 AND 255),
  CONSTRAINT upload_bytes    CHECK (bytes > 0),
  CONSTRAINT upload_sha256   CHECK (octet_length(sha256) = 32));
CREATE INDEX upload_kept ON upload (tenant_id) INCLUDE (bytes) WHERE deleted_at IS NULL;
CREATE INDEX upload_age  ON upload (created_at) WHERE deleted_at IS NULL;

CREATE TABLE job (
  id             uuid PRIMARY KEY,                  -- UUIDv4 made by the module: its 122 random bits are a capability
  tenant_id      uuid NOT NULL REFERENCES tenant,
  api_key_id     bigint NOT NULL REFERENCES api_key,        -- the key that made it: its limits apply
  status         job_status NOT NULL DEFAULT 'created',
  billing_status billing_status,
  priority       smallint NOT NULL DEFAULT 0,       -- within the tenant; the smallest goes first

  model          text NOT NULL REFERENCES price,
  output_format  text NOT NULL,
  video_url      text NOT NULL,                     -- http(s)://... or upload://<upload.id>
  webhook_url    text,
  options        jsonb NOT NULL DEFAULT '{}',       -- background, composition, text_prompt, preview_duration, alpha
  metadata       json,                              -- json, not jsonb: given back byte for byte
  start_sha256   bytea,                             -- of what the start meant: tells 200 from 409 on a second start

  rate_mc_s      int,                               -- price of an output second, fixed at the start
  held_mc        bigint,                            -- set by job_hold once the engine knows the duration
  charged_mc     bigint,
  cost_s         real NOT NULL DEFAULT 30,          -- what a claim adds to vtime: a guess until the probe corrects it

  run_no         smallint NOT NULL DEFAULT 0,       -- +1 at every start; a failed job may be started again
  attempt        smallint NOT NULL DEFAULT 0,       -- within the run
  max_attempts   smallint NOT NULL DEFAULT 3,
  run_after      timestamptz NOT NULL DEFAULT now(),
  lease_no       bigint NOT NULL DEFAULT 0,         -- fencing token: +1 at every claim, never reset
  engine_id      text,
  lease_expires_at    timestamptz,
  cancel_requested_at timestamptz,

  progress       smallint NOT NULL DEFAULT 0,
  frames_done    int NOT NULL DEFAULT 0,
  frames_total   int,
  last_error     text,                              -- of the latest failed attempt, also when it will be tried again
  error_code     text,
  error_detail   text,
  warnings       jsonb NOT NULL DEFAULT '[]',       -- [{"code", "message"}, ...]

  output_key     text,                              -- tenant/job/lease_no.ext: a late attempt cannot overwrite it
  output_bytes   bigint,
  output_sha256  bytea,
  output_ms      bigint,
  output_width   int,
  output_height  int,
  output_frames  int,
  alpha_bytes    bigint,                            -- of the alpha's own file, lease_no.alpha.mp4 beside the output
  alpha_sha256   bytea,
  output_removed_at timestamptz,                    -- by retention: no route names it any more, its files go

  request_id     text,                              -- of the create
  traceparent    text,                              -- W3C Trace Context, of the create
  created_at     timestamptz NOT NULL DEFAULT now(),
  deleted_at     timestamptz,                       -- by the client: no route shows it, its files go; the row stays
  pending_at     timestamptz,
  started_at     timestamptz,
  finished_at    timestamptz,

  CONSTRAINT known_format          CHECK (output_format IN ('webm', 'mov', 'mp4', 'gif', 'webp', 'png_sequence')),
  CONSTRAINT video_url_form        CHECK (video_url ~ '^(https?|upload)://' AND octet_length(video_url) <= 2048),
  CONSTRAINT webhook_url_form      CHECK (webhook_url ~ '^https?://' AND octet_length(webhook_url) <= 2048),
  CONSTRAINT options_size          CHECK (jsonb_typeof(options) = 'object' AND octet_length(options::text) <= 16384),
  CONSTRAINT metadata_size         CHECK (json_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 4096),
  CONSTRAINT warnings_array        CHECK (jsonb_typeof(warnings) = 'array'),
  CONSTRAINT request_id_form       CHECK (request_id ~ '^[A-Za-z0-9._-]{1,128}$'),
  CONSTRAINT traceparent_form      CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
  CONSTRAINT error_code_form       CHECK (error_code ~ '^[a-z0-9_]{3,40}$'),      -- digits too: fetch_4xx
  CONSTRAINT error_detail_size     CHECK (octet_length(error_detail) <= 2000),
  CONSTRAINT priority_range        CHECK (priority BETWEEN -2 AND 2),
  CONSTRAINT progress_range        CHECK (progress BETWEEN 0 AND 100),
  CONSTRAINT attempt_range         CHECK (attempt BETWEEN 0 AND max_attempts),

  CONSTRAINT lease_iff_processing  CHECK ((status = 'processing') = (engine_id IS NOT NULL)
                                      AND (engine_id IS NULL) = (lease_expires_at IS NULL)),
  CONSTRAINT finished_iff_terminal CHECK ((status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
  CONSTRAINT output_iff_completed  CHECK ((output_key IS NOT NULL) = (status = 'completed')),
  CONSTRAINT alpha_with_output     CHECK ((alpha_bytes IS NULL) = (alpha_sha256 IS NULL)
                                      AND (alpha_bytes IS NULL OR output_key IS NOT NULL)),
  CONSTRAINT output_of_this_lease  CHECK (starts_with(output_key, format('%s/%s/%s.', tenant_id, id, lease_no))),
  CONSTRAINT error_iff_failed      CHECK ((error_code IS NOT NULL) = (status = 'failed')),
  CONSTRAINT price_once_started    CHECK (rate_mc_s IS NOT NULL OR status IN ('created', 'cancelled')),
  CONSTRAINT charged_within_held   CHECK (rate_mc_s >= 0 AND held_mc >= 0 AND charged_mc BETWEEN 0 AND held_mc),
  CONSTRAINT billing_fits_status   CHECK (CASE billing_status
    WHEN 'held'     THEN held_mc IS NOT NULL AND charged_mc IS NULL     AND status IN ('pending', 'processing')
    WHEN 'charged'  THEN held_mc IS NOT NULL AND charged_mc IS NOT NULL AND status = 'completed'
    WHEN 'released' THEN held_mc IS NOT NULL AND charged_mc IS NULL     AND status IN ('failed', 'cancelled')
    ELSE                 held_mc IS NULL     AND charged_mc IS NULL     AND status <> 'completed' END)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX job_upload  ON job (video_url) WHERE video_url LIKE 'upload://%';
CREATE INDEX job_ready   ON job (tenant_id, priority, pending_at, id) WHERE status = 'pending';
CREATE INDEX job_running ON job (id) WHERE status = 'processing';        -- not the lease: heartbeats stay HOT
CREATE INDEX job_list    ON job (tenant_id, created_at DESC, id DESC) INCLUDE (status, deleted_at); -- counts: no heap

CREATE INDEX job_kept    ON job (finished_at)
  WHERE status = 'completed' AND output_removed_at IS NULL AND deleted_at IS NULL;
CREATE INDEX job_past    ON job (coalesce(finished_at, created_at))
  WHERE status NOT IN ('pending', 'processing')
    AND (output_key IS NULL OR output_removed_at IS NOT NULL OR deleted_at IS NOT NULL);

CREATE TABLE removal (                              -- files that nobody is to have any more; an engine removes them
  path text PRIMARY KEY,                            -- under the state folder
  at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT removal_path CHECK (path ~ '^(outputs|uploads)/[0-9a-f-]{36}/[0-9a-z./-]+$' AND path !~ '[.][.]'));

CREATE TABLE job_transition (                       -- the audit; only ever added to
  job_id      uuid NOT NULL REFERENCES job ON DELETE CASCADE,
  seq         bigint GENERATED ALWAYS AS IDENTITY,
  from_status job_status,
  to_status   job_status NOT NULL,
  run_no      smallint NOT NULL,
  attempt     smallint NOT NULL,
  lease_no    bigint NOT NULL,
  engine_id   text,
  reason      text,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, seq));

-- ---- money --------------------------------------------------------------------------------------------------------

CREATE TABLE credit_account (                       -- a cache of the sums below; only the ledger's trigger writes it
  tenant_id uuid PRIMARY KEY REFERENCES tenant,
  available bigint NOT NULL DEFAULT 0,
  held      bigint NOT NULL DEFAULT 0,
  spent     bigint NOT NULL DEFAULT 0,
  CONSTRAINT available_not_negative CHECK (available >= 0),
  CONSTRAINT held_not_negative      CHECK (held >= 0),
  CONSTRAINT spent_not_negative     CHECK (spent >= 0)
) WITH (fillfactor = 50);

CREATE TABLE credit_entry (                         -- only ever added to; every kind but grant sums to zero
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id   uuid NOT NULL REFERENCES credit_account,
  job_id      uuid REFERENCES job ON DELETE CASCADE,
  run_no      smallint,
  kind        text NOT NULL,
  d_available bigint NOT NULL DEFAULT 0,
  d_held      bigint NOT NULL DEFAULT 0,
  d_spent     bigint NOT NULL DEFAULT 0,
  note        text,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_unless_grant CHECK ((kind = 'grant') = (job_id IS NULL) AND (job_id IS NULL) = (run_no IS NULL)),
  CONSTRAINT balanced         CHECK (CASE kind
    WHEN 'grant'   THEN d_held = 0 AND d_spent = 0
    WHEN 'hold'    THEN d_held > 0 AND d_available = -d_held AND d_spent = 0
    WHEN 'capture' THEN d_spent > 0 AND d_held = -d_spent AND d_available = 0
    WHEN 'release' THEN d_available > 0 AND d_held = -d_available AND d_spent = 0
    ELSE false END));
CREATE UNIQUE INDEX credit_once ON credit_entry (job_id, run_no, kind) WHERE job_id IS NOT NULL;
CREATE INDEX credit_by_tenant   ON credit_entry (tenant_id, id DESC);
CREATE INDEX credit_spent       ON credit_entry (tenant_id, at) INCLUDE (d_spent) WHERE kind = 'capture';

-- What the jobs that are gone have left, by the day (UTC) of their create and of their charge: usage stays what it was,
-- and for all of their entries in the ledger stands that spent mc went from available to spent.
CREATE TABLE usage_day (
  tenant_id      uuid NOT NULL REFERENCES credit_account,
  day            date NOT NULL,
  total_jobs     bigint NOT NULL,
  completed_jobs bigint NOT NULL,
  failed_jobs    bigint NOT NULL,
  spent          bigint NOT NULL,
  PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 50);

-- ---- requests and webhooks ----------------------------------------------------------------------------------------

CREATE TABLE idempotency_key (                      -- of a request that was answered; good for 24 hours
  tenant_id     uuid NOT NULL REFERENCES tenant,
  key           text NOT NULL,
  route         text NOT NULL,                      -- method and path
  body_sha256   bytea NOT NULL,
  response_code smallint,                           -- NULL only inside the transaction that answers
  response_body text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, key),
  CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255));
CREATE INDEX idempotency_age ON idempotency_key (created_at);

-- One that signs, and after a rotation the one before it. The secret itself is not here: engines make it of the id with a
-- key that the database never sees, so that a copy of the database forges nothing.
CREATE TABLE webhook_secret (
  tenant_id  uuid NOT NULL REFERENCES tenant,
  id         uuid NOT NULL DEFAULT gen_random_uuid(),
  expires_at timestamptz,                           -- NULL: the newest
  PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX webhook_secret_newest ON webhook_secret (tenant_id) WHERE expires_at IS NULL;

CREATE TABLE webhook_key (                          -- what the engines' keys are known by
  id text PRIMARY KEY);

-- Where the URLs of one client at one origin (scheme, host, port) lead. Its row guards its deliveries: who makes or
-- changes one has locked it. A claim looks here first, so that its cost does not grow with what waits.
CREATE TABLE webhook_endpoint (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id     uuid NOT NULL REFERENCES tenant,
  origin        text NOT NULL,
  failures      int NOT NULL DEFAULT 0,             -- in a row
  failing_since timestamptz,                        -- the first of them
  paused_until  timestamptz NOT NULL DEFAULT '-infinity',
  wake_at       timestamptz DEFAULT clock_timestamp(),      -- when it may have something to send; NULL: nothing waits
  UNIQUE (tenant_id, origin),
  CONSTRAINT failing_since_first CHECK ((failures > 0) = (failing_since IS NOT NULL))
) WITH (fillfactor = 50);
CREATE INDEX webhook_endpoint_awake ON webhook_endpoint ((failures > 0), wake_at);

CREATE TABLE webhook_delivery (                     -- transactional outbox
  id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),    -- the webhook-id, the same over all attempts
  seq              bigint GENERATED ALWAYS AS IDENTITY,           -- order within a job
  job_id           uuid NOT NULL REFERENCES job ON DELETE CASCADE,
  run_no           smallint NOT NULL,
  tenant_id        uuid NOT NULL REFERENCES tenant,
  endpoint_id      bigint NOT NULL REFERENCES webhook_endpoint,
  event            text NOT NULL,
  url              text NOT NULL,
  data             json NOT NULL,                   -- job_json at the transition; the sender adds a fresh output_url
  state            text NOT NULL DEFAULT 'pending',
  attempts         smallint NOT NULL DEFAULT 0,     -- also the sender's fence
  in_flight        boolean NOT NULL DEFAULT false,
  next_attempt_at  timestamptz,                     -- NULL: after an earlier event of the job; in flight: then it is lost
  last_status      smallint,
  last_error       text,
  last_at          timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  done_at          timestamptz,
  UNIQUE (job_id, run_no, event),
  CONSTRAINT delivery_state       CHECK (state IN ('pending', 'sent', 'failed')),
  CONSTRAINT delivery_in_flight   CHECK (NOT in_flight OR (state = 'pending' AND next_attempt_at IS NOT NULL)),
  CONSTRAINT delivery_done_at_end CHECK ((state = 'pending') = (done_at IS NULL)));
CREATE INDEX webhook_due       ON webhook_delivery (endpoint_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_in_flight ON webhook_delivery (endpoint_id) WHERE in_flight;
CREATE INDEX webhook_of        ON webhook_delivery (endpoint_id);

CREATE TABLE webhook_attempt (
  delivery_id uuid NOT NULL REFERENCES webhook_delivery ON DELETE CASCADE,
  n           smallint NOT NULL,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  http_status smallint,
  error       text,
  ms          int,
  PRIMARY KEY (delivery_id, n));
CREATE INDEX webhook_attempt_age ON webhook_attempt (at);
