-- Which master key the sealed things of this database were sealed with; one row.
CREATE TABLE master_key (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- A keyed hash of nothing: it tells the same key again, and nothing of it.
  fingerprint bytea NOT NULL
);
