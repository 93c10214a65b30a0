-- What must not be told of a run, beside what its deployment's settings hold: found when the run's log and events are
-- received, removed when it ends.
CREATE TABLE run_secrets (
  run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
  -- 1, 2, 3 …, given with the run locked: whoever has read up to one has missed none.
  number integer NOT NULL,
  -- Sealed for the run: a JSON list of texts.
  sealed bytea NOT NULL,
  -- Whether there were more than are kept.
  is_cut boolean NOT NULL,
  PRIMARY KEY (run_id, number)
);
