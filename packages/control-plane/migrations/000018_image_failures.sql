-- JSON text (list of `ImageFailure`): images that the runner could not make ready, as it told with its last `images` call.
ALTER TABLE runners ADD COLUMN image_failures text NOT NULL DEFAULT '[]';
