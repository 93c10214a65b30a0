-- How large sandboxes are, how long runs may take, what they may reach: JSON text (`PoolSandboxSettings`).
ALTER TABLE pools ADD COLUMN sandbox_settings text NOT NULL DEFAULT '{}';

CREATE TABLE stack_sandbox_settings (
  stack_id uuid PRIMARY KEY REFERENCES stacks ON DELETE CASCADE,
  -- JSON text (`SandboxSettings`).
  settings text NOT NULL
);

-- What the run was granted when it was queued: JSON text (`RunSandbox`).
ALTER TABLE runs ADD COLUMN granted_sandbox text NOT NULL
  DEFAULT '{"size":{},"egress":{"mode":"open"},"timeLimits":{},"logMiB":256}';
-- The size out of it, for claims: a runner takes only what fits. Null: the runner's own default.
ALTER TABLE runs ADD COLUMN cpus integer;
ALTER TABLE runs ADD COLUMN memory_mib integer;
ALTER TABLE runs ADD COLUMN volume_gib integer;
