-- What the engine events of an update take, so that each batch need not count the others.
ALTER TABLE updates ADD COLUMN event_bytes bigint NOT NULL DEFAULT 0;
