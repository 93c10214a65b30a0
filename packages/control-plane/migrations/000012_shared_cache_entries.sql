-- Entries of dependency caches that the runners of a pool share. Their blobs are in the blob storage, under their ids.
CREATE TABLE cache_entries (
  id uuid PRIMARY KEY,
  -- Of the grant: pool, project and generation. No references: a row has to outlive what it is of until its blob is gone.
  namespace text NOT NULL,
  scope text NOT NULL,
  name text NOT NULL,
  blob_bytes bigint NOT NULL,
  sha256 text NOT NULL,
  -- What the storage calls the upload; null once the blob is complete.
  upload_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  read_at timestamptz NOT NULL DEFAULT now()
);
-- The first complete writer wins. Also serves the look-up of an entry by a run.
CREATE UNIQUE INDEX cache_entries_complete ON cache_entries (namespace, scope, name) WHERE upload_id IS NULL;
-- An upload that goes on, and how many of the same entry are under way.
CREATE INDEX cache_entries_uploads ON cache_entries (namespace, scope, name) WHERE upload_id IS NOT NULL;

CREATE TABLE cache_entry_parts (
  entry_id uuid NOT NULL REFERENCES cache_entries ON DELETE CASCADE,
  part integer NOT NULL,
  -- What the storage calls it.
  tag text NOT NULL,
  PRIMARY KEY (entry_id, part)
);
