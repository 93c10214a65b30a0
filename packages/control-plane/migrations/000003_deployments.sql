-- Pools of runners. A pool belongs to an organization; its token opens `register` and `claim`, and nothing else.
CREATE TABLE pools (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL,
  description text NOT NULL,
  is_default boolean NOT NULL DEFAULT false,
  token_hash bytea NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name)
);
-- An organization has one default pool: the one that runs go to when their settings name none.
CREATE UNIQUE INDEX pools_default ON pools (organization_id) WHERE is_default;

CREATE TABLE runners (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  pool_id uuid NOT NULL REFERENCES pools ON DELETE CASCADE,
  hostname text NOT NULL,
  process_id integer NOT NULL,
  version text NOT NULL,
  platform text NOT NULL,
  isolation text NOT NULL,
  slots integer NOT NULL,
  address text NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now()
);
-- The runners of a pool, newest sign of life first.
CREATE INDEX runners_of_pool ON runners (pool_id, last_seen_at);

-- A lane is what runs wait in, one behind the other: for deployments, a stack (lanes.id is the id of the stack).
-- It is a table of its own so that a claim and an enqueue have one row to lock.
CREATE TABLE lanes (
  id uuid PRIMARY KEY,
  -- Number of the newest run in this lane; the next one gets the next.
  last_number integer NOT NULL DEFAULT 0
);

CREATE TABLE runs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  workflow text NOT NULL,
  lane_id uuid NOT NULL REFERENCES lanes,
  -- Place in the lane: 1, 2, 3 … It never changes, so a run that is queued again is the head of its lane again.
  number integer NOT NULL,
  pool_id uuid NOT NULL REFERENCES pools,
  platform text NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'claimed', 'running', 'finished')),
  outcome text CHECK (outcome IN ('succeeded', 'failed', 'skipped')),
  cause text,
  message text,
  created_at timestamptz NOT NULL DEFAULT now(),
  modified_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  cancel_requested_at timestamptz,
  -- The claim that holds the run. The hash of the lease token outlives `finish`, so that a repeated one is recognised;
  -- it is removed when the run is taken away from its runner.
  runner_id uuid REFERENCES runners ON DELETE SET NULL,
  claim_nonce text,
  -- Random, new at each claim: the lease token is computed from it.
  claim_id text,
  claims integer NOT NULL DEFAULT 0,
  lease_token_hash bytea,
  lease_ends_at timestamptz,
  -- What the runner reported, as JSON text (jsonb would refuse \u0000).
  sandbox text,
  phase_milliseconds text,
  log_bytes bigint NOT NULL DEFAULT 0,
  UNIQUE (lane_id, number),
  CHECK ((state = 'finished') = (outcome IS NOT NULL)),
  CHECK (state NOT IN ('claimed', 'running') OR (lease_token_hash IS NOT NULL AND lease_ends_at IS NOT NULL))
);
-- At most one run of a lane is out at any time: the second guard behind the lock on the lane.
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (lane_id) WHERE state IN ('claimed', 'running');
-- A nonce claims one run, also when two calls with it arrive at once.
CREATE UNIQUE INDEX runs_claim_nonce ON runs (runner_id, claim_nonce) WHERE state IN ('claimed', 'running');
-- Claim: the oldest queued run of a pool …
CREATE INDEX runs_queued ON runs (pool_id, created_at) WHERE state = 'queued';
-- … that has no unfinished run before it in its lane.
CREATE INDEX runs_unfinished ON runs (lane_id, number) WHERE state <> 'finished';
-- Every call of a runner finds its run by the lease token.
CREATE UNIQUE INDEX runs_lease_token ON runs (lease_token_hash) WHERE lease_token_hash IS NOT NULL;
-- Recovery: the runs whose lease has ended.
CREATE INDEX runs_lease_ends ON runs (lease_ends_at) WHERE state IN ('claimed', 'running');

CREATE TABLE run_steps (
  run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
  step integer NOT NULL,
  name text NOT NULL,
  status text NOT NULL,
  started_at timestamptz,
  updated_at timestamptz,
  PRIMARY KEY (run_id, step)
);

-- The log of a run, line by line. The runner numbers the lines, so that each is stored once.
CREATE TABLE run_log_lines (
  run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
  sequence integer NOT NULL,
  step integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('header', 'line')),
  logged_at timestamptz NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (run_id, sequence)
);
-- The log of one step, page by page.
CREATE INDEX run_log_lines_of_step ON run_log_lines (run_id, step, sequence);

CREATE TABLE deployment_settings (
  stack_id uuid PRIMARY KEY REFERENCES stacks ON DELETE CASCADE,
  -- JSON text, secrets as ciphertext.
  settings text NOT NULL,
  source text NOT NULL,
  -- Counts revisions.
  version integer NOT NULL DEFAULT 1
);

-- A deployment has one run, and its id. It does not refer to its stack: a deployment that destroys a stack and removes
-- it must outlive it until its runner has finished.
CREATE TABLE deployments (
  id uuid PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  stack_id uuid NOT NULL,
  version integer NOT NULL,
  operation text NOT NULL,
  -- The merged settings, frozen: JSON text, secrets as ciphertext.
  settings text NOT NULL,
  requested_by uuid REFERENCES users ON DELETE SET NULL,
  initiator text NOT NULL,
  -- The job token, sealed for the stack, so that it can be masked and a repeated `job` answers the same.
  sealed_job_token bytea,
  UNIQUE (stack_id, version)
);
