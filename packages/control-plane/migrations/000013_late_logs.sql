-- Opens `late-log` and `lost` for the last claim of the run. It outlives the lease when the runner was lost: what that had
-- read of the log is delivered when it is started again. Removed when the run has ended otherwise, when all was
-- delivered, and when it has become too late for that.
ALTER TABLE runs ADD COLUMN delivery_token_hash bytea;
-- Late calls find their run by the delivery token.
CREATE UNIQUE INDEX runs_delivery_token ON runs (delivery_token_hash) WHERE delivery_token_hash IS NOT NULL;
-- The sweep: runs that have ended and for which it is too late.
CREATE INDEX runs_late_logs ON runs (finished_at) WHERE delivery_token_hash IS NOT NULL;
