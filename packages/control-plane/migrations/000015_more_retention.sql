-- Retention: runners that were not seen for long.
CREATE INDEX runners_last_seen ON runners (last_seen_at);
-- The runs of a runner that is removed.
CREATE INDEX runs_of_runner ON runs (runner_id) WHERE runner_id IS NOT NULL;
-- Retention: updates that nobody ever started.
CREATE INDEX updates_not_started ON updates (created_at) WHERE state = 'created';
