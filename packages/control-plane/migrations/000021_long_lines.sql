-- Of a piece of a longer line: the number of that line in its step. Pieces of several lines may stand between each other.
ALTER TABLE run_log_chunks ADD COLUMN long_line integer;
DROP INDEX run_log_chunks_held;
-- For the next piece of a line, which goes on with what is held back; and for the end of a run, which forgets it.
CREATE INDEX run_log_chunks_held ON run_log_chunks (run_id, step, long_line) WHERE held IS NOT NULL;
