-- Firefly: what alerts have been sent, so that one of any number of consumers sends each.

CREATE TABLE "firefly".alert (
  -- failed:<fingerprint>, backlog:<queue>:<condition>, or lost:<consumer>. The empty one is the look for causes itself.
  cause text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('look', 'failed', 'backlog', 'lost')),
  -- When it was seen last; of a look, when alerts were switched on.
  seen timestamptz NOT NULL DEFAULT now(),
  -- Up to when the alert reports it. NULL: not yet, or it is over. Of a look, when the one before was.
  reported timestamptz,
  -- When an alert was scheduled last. Of a look, when it was.
  fired timestamptz,
  -- Of a lost consumer, what the alert says.
  detail jsonb
) WITH (fillfactor = 50);
COMMENT ON TABLE "firefly".alert IS
  'A cause of alerts, and when one was scheduled. Written by the consumers of an instance with the option alerts, and '
  'by any consumer that removes a crashed one; deleted a week after it was seen last.';
