-- Whether the run may keep dependencies: these can take a disk beside its volume, for which a claim must find room too.
ALTER TABLE runs ADD COLUMN caches boolean NOT NULL DEFAULT false;
