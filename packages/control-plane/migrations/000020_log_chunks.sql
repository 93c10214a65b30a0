-- A row for all lines that were told at once, and not one for each: a flood costs by its bytes then. Rows from before have one.
ALTER TABLE run_log_lines RENAME TO run_log_chunks;
ALTER TABLE run_log_chunks RENAME COLUMN sequence TO first_sequence;
ALTER TABLE run_log_chunks ADD COLUMN line_count integer NOT NULL DEFAULT 1;
-- Several lines stand in `text` with a newline between them. To compress it would take longer than to write it.
ALTER TABLE run_log_chunks ALTER COLUMN text SET STORAGE EXTERNAL;
ALTER INDEX run_log_lines_pkey RENAME TO run_log_chunks_pkey;
ALTER INDEX run_log_lines_of_step RENAME TO run_log_chunks_of_step;
ALTER INDEX run_log_lines_held RENAME TO run_log_chunks_held;
-- Of pieces that have gone on nothing is held back any more: at the end of a run a mark takes the place of what is.
UPDATE run_log_chunks AS piece SET held = NULL
WHERE held IS NOT NULL AND EXISTS (
  SELECT FROM run_log_chunks AS next
  WHERE next.run_id = piece.run_id AND next.first_sequence = piece.first_sequence + 1 AND next.kind = 'line');
