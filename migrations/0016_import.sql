-- Firefly: imports from queues that are not in this database.

CREATE TABLE "firefly".unfinished_import (
  id uuid PRIMARY KEY,
  -- The queues that its jobs come from, for people.
  source text NOT NULL,
  committed timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE "firefly".unfinished_import IS
  'An import whose tasks are here, and whose jobs may not all have been removed from their queue yet. Inserted in the '
  'transaction that schedules the tasks; deleted by the import when the jobs are removed.';
