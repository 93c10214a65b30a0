CREATE TABLE projects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name)
);

CREATE TABLE stacks (
  -- Encryption keys are derived from the id, so a stack keeps it when it is renamed.
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL REFERENCES projects,
  name text NOT NULL,
  -- Name → value.
  tags jsonb NOT NULL DEFAULT '{}',
  -- Counts the updates that may change the state. The state of version n is the checkpoint with the highest version up
  -- to n: an update that changes nothing writes none.
  version integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (project_id, name)
);

CREATE TABLE updates (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  stack_id uuid NOT NULL REFERENCES stacks ON DELETE CASCADE,
  kind text NOT NULL,
  -- It changes nothing: a `preview`, or a dry run of another kind (`pulumi refresh --preview-only`).
  is_preview boolean NOT NULL,
  state text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'running', 'finished')),
  result text CHECK (result IN ('succeeded', 'failed')),
  version integer NOT NULL DEFAULT 0,
  -- The run whose job token made this update.
  run_id uuid,
  requested_by uuid REFERENCES users ON DELETE SET NULL,
  message text NOT NULL DEFAULT '',
  -- JSON text as the CLI sent it.
  environment text NOT NULL DEFAULT '{}',
  config text NOT NULL DEFAULT '{}',
  resource_changes text,
  lease_token_hash bytea,
  lease_ends_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  CHECK ((state = 'finished') = (result IS NOT NULL))
);
-- A stack has at most one running update that may change it: this is its lock. Previews take none.
CREATE UNIQUE INDEX updates_one_at_a_time ON updates (stack_id) WHERE state = 'running' AND NOT is_preview;
-- History of a stack, newest first.
CREATE INDEX updates_of_stack ON updates (stack_id, created_at DESC);
-- The updates that a run made.
CREATE INDEX updates_of_run ON updates (run_id) WHERE run_id IS NOT NULL;
-- Updates whose lease has ended.
CREATE INDEX updates_lease_ends ON updates (lease_ends_at) WHERE state = 'running';

CREATE TABLE checkpoints (
  stack_id uuid NOT NULL REFERENCES stacks ON DELETE CASCADE,
  version integer NOT NULL,
  -- `version` and `features` beside the deployment, as the CLI sent them.
  schema_version integer NOT NULL,
  features text,
  -- The deployment to the letter, but for the URL of its secrets provider, which stood at url_offset (characters).
  document text NOT NULL,
  url_offset integer,
  resource_count integer NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stack_id, version)
);

-- What the CLI says of a running update step by step (journaling), in place of whole checkpoints. When the update ends,
-- its entries are replayed into its checkpoint and removed.
CREATE TABLE journal_entries (
  update_id uuid NOT NULL REFERENCES updates ON DELETE CASCADE,
  -- As the CLI numbers them; a batch may arrive twice.
  sequence bigint NOT NULL,
  entry text NOT NULL,
  PRIMARY KEY (update_id, sequence)
);

CREATE TABLE engine_events (
  update_id uuid NOT NULL REFERENCES updates ON DELETE CASCADE,
  -- As the CLI numbers them, from 0; batches may arrive in any order, and twice.
  sequence integer NOT NULL,
  event text NOT NULL,
  PRIMARY KEY (update_id, sequence)
);
