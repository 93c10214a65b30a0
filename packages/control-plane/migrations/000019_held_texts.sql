-- Of a piece of a long line: its end, which may be the beginning of a secret and is in no text before the next piece is here.
-- Sealed for the run: JSON text (`HeldText`).
ALTER TABLE run_log_lines ADD COLUMN held bytea;
-- For the end of a run, which forgets them.
CREATE INDEX run_log_lines_held ON run_log_lines (run_id) WHERE held IS NOT NULL;
