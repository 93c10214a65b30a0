-- Bytes of journal that an update has sent, for the bound on them.
ALTER TABLE updates ADD COLUMN journal_bytes bigint NOT NULL DEFAULT 0;

-- The whole state that a running update wrote last. When the update ends, it becomes its checkpoint.
CREATE TABLE written_states (
  update_id uuid PRIMARY KEY REFERENCES updates ON DELETE CASCADE,
  -- The body of the call, as gzip: it is taken apart when somebody reads it, not for every step of the update.
  body bytea NOT NULL,
  -- The URLs under which this server was known then: that of its secrets provider may be one.
  own_urls text[] NOT NULL
);
-- It is packed already.
ALTER TABLE written_states ALTER COLUMN body SET STORAGE EXTERNAL;
