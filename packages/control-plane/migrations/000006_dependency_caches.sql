-- The dependency cache of a project. Clearing it raises the generation: what was kept before is found by no run any more.
CREATE TABLE dependency_caches (
  project_id uuid PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
  generation integer NOT NULL DEFAULT 1
);
