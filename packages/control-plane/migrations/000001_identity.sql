CREATE TABLE organizations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  login text NOT NULL UNIQUE,
  display_name text NOT NULL,
  email text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE organization_members (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  PRIMARY KEY (organization_id, user_id)
);

-- User tokens (user_id) and job tokens (run_id and stack_id). Pool, lease and update tokens live with what they open.
CREATE TABLE access_tokens (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  token_hash bytea NOT NULL UNIQUE,
  description text NOT NULL,
  user_id uuid REFERENCES users ON DELETE CASCADE,
  run_id uuid,
  stack_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((user_id IS NOT NULL AND run_id IS NULL) OR (run_id IS NOT NULL AND stack_id IS NOT NULL))
);
-- Job tokens are deleted when their run ends.
CREATE INDEX access_tokens_run_id ON access_tokens (run_id) WHERE run_id IS NOT NULL;
