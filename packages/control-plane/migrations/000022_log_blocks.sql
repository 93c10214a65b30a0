-- How many lines of a step are in chunks whose first numbers lie in the same block of 2048. Where a line of a step is, is found
-- by these: to count the chunks before it would take as long as the step is.
CREATE TABLE run_log_blocks (
  run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
  step integer NOT NULL,
  -- A chunk's first number, divided by 2048.
  block integer NOT NULL,
  line_count integer NOT NULL,
  PRIMARY KEY (run_id, step, block)
);
INSERT INTO run_log_blocks (run_id, step, block, line_count)
SELECT run_id, step, first_sequence / 2048, sum(line_count) FROM run_log_chunks WHERE kind = 'line' GROUP BY 1, 2, 3;
