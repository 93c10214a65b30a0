-- What the runner's host could give to a sandbox at its last claim: JSON text (`capacity` and `isPaused` of a claim).
ALTER TABLE runners ADD COLUMN capacity text;
