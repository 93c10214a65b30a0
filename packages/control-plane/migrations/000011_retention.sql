-- Retention: the finished runs, oldest first.
CREATE INDEX runs_finished ON runs (finished_at) WHERE state = 'finished';
