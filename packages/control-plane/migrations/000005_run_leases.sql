-- The lease that a run was last claimed with, and how long after its end the run is taken from its runner: what the
-- runner was told holds for that run, also when the control plane is started again with another lease.
ALTER TABLE runs ADD COLUMN lease_seconds integer NOT NULL DEFAULT 30;
ALTER TABLE runs ADD COLUMN free_after_end_seconds double precision NOT NULL DEFAULT 10;
