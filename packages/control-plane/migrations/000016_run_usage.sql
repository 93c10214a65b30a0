-- What a run has used in all, and at most: JSON text (`UsageSummary`), told anew every few seconds.
ALTER TABLE runs ADD COLUMN usage text;

-- What runs used over time. Runners make the stretches longer as a run gets older, so it has a few thousand at most.
CREATE TABLE run_usage_samples (
  run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
  -- End of the stretch, by the runner's clock: each is stored once, however often it is told.
  ended_at timestamptz NOT NULL,
  seconds integer NOT NULL,
  -- JSON text (`Usage`).
  usage text NOT NULL,
  PRIMARY KEY (run_id, ended_at)
);
