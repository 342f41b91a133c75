-- Firefly: how long records of ended tasks are kept.

-- Seconds after its end for which the record of a completed task, and of a failed or cancelled one, is kept. 'Infinity'
-- keeps it for ever, and NULL leaves it to what comes next: the task's own word, the queue's, that of all.
ALTER TABLE "firefly".queue
  ADD COLUMN retain_completed double precision CHECK (retain_completed >= 0),
  ADD COLUMN retain_failed double precision CHECK (retain_failed >= 0);

-- What holds for all that nothing else is said of, and how far the walk over the records has come that any consumer goes
-- on with, one at a time. A walk by id needs no index that the hot path would have to pay for.
CREATE TABLE "firefly".retention (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  retain_completed double precision NOT NULL DEFAULT 7 * 86400 CHECK (retain_completed >= 0),
  retain_failed double precision NOT NULL DEFAULT 30 * 86400 CHECK (retain_failed >= 0),
  -- The id of the last record that was looked at.
  walked bigint NOT NULL DEFAULT 0,
  -- However many consumers there are, the walk goes on no sooner.
  rests_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO "firefly".retention DEFAULT VALUES;
