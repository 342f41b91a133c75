-- Firefly: the tables. docs/tables.md draws them.
--
-- A task has one record in `task` from its INSERT on, and while it has not ended exactly one of these beside it: a row
-- in `ready` or `waiting`, which is its place, or an entry in a row of `claim_batch`, which is the claim of a consumer.
-- The tables behind the hot path have few constraints on purpose. The keys of tasks are checked by the tables into which
-- they get.

-- Domains instead of CHECKs: the server evaluates every CHECK of a table with each UPDATE, but a domain only where a value
-- of it is made.
CREATE DOMAIN "firefly".task_status AS text
  CONSTRAINT task_status_known CHECK (VALUE IN ('created', 'completed', 'failed', 'cancelled'));
CREATE DOMAIN "firefly".task_name AS text
  CONSTRAINT task_func_name CHECK (VALUE <> '' AND length(VALUE) <= 200);
-- The second condition is that channel(queue) is a name for PostgreSQL. It is written out, since every INSERT would
-- inline the function again.
CREATE DOMAIN "firefly".queue_name AS text
  CONSTRAINT task_queue_name CHECK (VALUE ~ '^[a-z0-9][a-z0-9_.-]*$')
  CONSTRAINT task_queue_channel CHECK (octet_length('firefly' || '_' || VALUE) <= 63);
CREATE DOMAIN "firefly".retry_count AS integer
  CONSTRAINT task_max_retries CHECK (VALUE >= 0);
-- Seconds, as the following two. NaN is larger than Infinity for PostgreSQL. A retry may be however far away: the
-- statement that settles shortens it.
CREATE DOMAIN "firefly".delay_seconds AS double precision
  CONSTRAINT task_retry_delay CHECK (VALUE >= 0 AND VALUE < 'Infinity');
CREATE DOMAIN "firefly".timeout_seconds AS double precision
  CONSTRAINT task_timeout CHECK (VALUE > 0 AND VALUE <= 31557600000);
CREATE DOMAIN "firefly".unique_seconds AS double precision
  CONSTRAINT task_unique_for CHECK (VALUE BETWEEN 0 AND 31557600000);
CREATE DOMAIN "firefly".error_list AS jsonb
  CONSTRAINT task_errors CHECK (jsonb_typeof(VALUE) = 'array');

-- The columns stand in the order in which they change: what completion sets comes last, so that the log of a completion
-- holds the end of the row alone. NULL is what most tasks have, and takes no room: the view task_record shows 0 or an
-- empty list for it.
CREATE TABLE "firefly".task (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created timestamptz NOT NULL DEFAULT now(),
  not_before timestamptz NOT NULL DEFAULT now(),
  -- NULL takes the value of the task's definition, as it does for max_retries and timeout.
  retry_delay "firefly".delay_seconds,
  timeout "firefly".timeout_seconds,
  priority integer NOT NULL DEFAULT 0,
  max_retries "firefly".retry_count,
  func_name "firefly".task_name NOT NULL,
  queue "firefly".queue_name NOT NULL DEFAULT 'default',
  -- In the wire format. W10= is [], no arguments.
  params text NOT NULL DEFAULT 'W10=',
  -- { kind, delay, max, jitter } where retry_delay is not a number of seconds.
  backoff jsonb,
  tags text[],
  -- The unique key and the limits. All are NULL for a task that uses none of them, which then pays nothing for them.
  unique_key text,
  -- The statuses in which it rejects duplicates. NULL means created and running.
  unique_among text[],
  -- Seconds after its completion in which it still does.
  unique_for "firefly".unique_seconds,
  concurrency_key text,
  rate_key text,
  -- The span that scheduled the task, or that of the attempt that was suspended last: 16 bytes of its trace, 8 of its
  -- own, and the flags of W3C Trace Context. The 55 characters of the text would cost a drain twice as much. NULL if
  -- nothing was traced.
  traceparent bytea,
  -- How many dependencies it was scheduled with: the rows of `dependency`. NULL for a task that waits for no other.
  dependencies integer,
  -- Whether its end is to be noted in `ended`: a task depends on it, or it has called tasks, which are cancelled with it.
  -- Set by the statement that schedules a dependant or a callee, and never taken back. NULL for a task whose end
  -- concerns no other task.
  dependants boolean,
  -- Whether a step of it that can be compensated has begun: its steps are read before its handler is called, and a retry
  -- looks at them. Set by the attempt that begins the first of them, and never taken back. NULL for all others.
  compensates boolean,
  -- The task with whose steps it began: fork().
  forked_from bigint,
  errors "firefly".error_list,
  progress double precision,
  progress_note text,
  failed timestamptz,
  cancelled timestamptz,
  -- An attempt has the number retry_attempts + rescues + 1. Only retry_attempts is compared with max_retries.
  retry_attempts integer,
  rescues integer,
  -- Claims that ended without counting: by a shutdown, a lost database, Retry.
  snoozes integer,
  -- Consumers in a row that crashed while they held it. Two put it in quarantine, three more fail it. Any other end of
  -- a claim resets it.
  crash_count smallint,
  -- The fence: it grows whenever a claim ends, in whatever way. A statement that ends a claim must find it as the claim
  -- read it.
  claim_seq integer NOT NULL DEFAULT 0,
  -- The id in consumer_process of the consumer that ran the last attempt that has ended. Four bytes here: what that row
  -- has would take so much room that a third of the completions would not be HOT.
  attempted_by integer,
  -- Running is not among them: it is `created` with a claim. The view task_record shows it.
  status "firefly".task_status NOT NULL DEFAULT 'created',
  started timestamptz,
  completed timestamptz,
  -- In the wire format. NULL for a result that is undefined, as most are: it takes no room.
  returned text
  -- UPDATEs stay HOT, for which a fillfactor of 40 leaves room on the page, as long as no index mentions a column that
  -- they set, not even in its predicate.
) WITH (fillfactor = 40);
COMMENT ON TABLE "firefly".task IS
  'A task and its record, from schedule() until it is pruned. Inserted by schedule() or any INSERT; updated as a rule '
  'once, by the consumer that ends it, else by progress, retry, rescue and cancel; deleted when it is pruned or '
  'deleted.';

-- A row is a run: `length` tasks, at most 1,000, with consecutive ids from `id` on, that are alike in all other columns.
CREATE TABLE "firefly".ready (
  id bigint NOT NULL,
  not_before timestamptz NOT NULL,
  length integer NOT NULL DEFAULT 1,
  claim_seq integer NOT NULL,
  priority integer NOT NULL,
  -- It is claimed alone, and each consumer runs one such task at a time: task.crash_count.
  quarantined boolean NOT NULL DEFAULT false,
  queue text NOT NULL,
  func_name text NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
-- With this, a publication of all tables does not forbid its DELETE. It writes more to the log only if wal_level is
-- logical: a row has no key, and a primary key would cost the hot path an index. So do waiting and slot.
ALTER TABLE "firefly".ready REPLICA IDENTITY FULL;
CREATE INDEX ready_order ON "firefly".ready (queue, priority DESC, not_before, id);
CREATE INDEX ready_quarantined ON "firefly".ready (queue, priority DESC, not_before, id) WHERE quarantined;
COMMENT ON TABLE "firefly".ready IS
  'A run of tasks that may run now, in the order of claiming: length tasks from id on. Inserted with the tasks, or for '
  'one when it is due, admitted, retried or rescued; deleted by the claim, which puts back what it leaves of a run. '
  'Where claim_seq is not that of a task, its part of the run is stale.';

CREATE TABLE "firefly".waiting (
  id bigint NOT NULL,
  claim_seq integer NOT NULL,
  not_before timestamptz NOT NULL,
  priority integer NOT NULL,
  queue text NOT NULL,
  func_name text NOT NULL,
  -- `time`: its not_before is in the future. `unknown`: no live consumer of its queue knows its name. `concurrency`: it
  -- waits for a slot of concurrency_key and, if it has a rate_key, for one of that at the same time, since a task that
  -- waited with one slot in hand would keep it from others. `rate`: it waits for a slot of rate_key alone.
  -- `dependencies`: it waits for the end of `pending` tasks, whatever its not_before and its keys are. `suspended`: an
  -- attempt was suspended until one of `signals` comes or `pending` callees have ended. Where that wait also has an end
  -- in time, the reason is `time`, with the same columns set.
  reason text NOT NULL,
  quarantined boolean NOT NULL DEFAULT false,
  concurrency_key text,
  rate_key text,
  -- When a consumer must try to admit tasks of the row's limit queue: at once for a task that has just joined it, and
  -- for the first task of a rate when the oldest slot ends.
  admit_at timestamptz,
  -- Of `dependencies`, how many it has not been told the end of: the rows of `dependency` without a status. Of a
  -- suspended task, the smallest number of ends that may complete one of the calls that it waits for.
  pending integer,
  -- The names of the signals that a suspended task waits for.
  signals text[],
  -- Whether an attempt was suspended. NULL for all others.
  suspended boolean,
  CONSTRAINT waiting_reason_check
    CHECK (reason IN ('time', 'unknown', 'concurrency', 'rate', 'dependencies', 'suspended')),
  CONSTRAINT waiting_concurrency_key CHECK (concurrency_key <> '' AND octet_length(concurrency_key) <= 1000),
  CONSTRAINT waiting_rate_key CHECK (rate_key <> '' AND octet_length(rate_key) <= 1000)
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".waiting REPLICA IDENTITY FULL;
CREATE INDEX waiting_id ON "firefly".waiting (id);
CREATE INDEX waiting_due ON "firefly".waiting (queue, not_before) WHERE reason = 'time';
CREATE INDEX waiting_unknown ON "firefly".waiting (func_name) WHERE reason = 'unknown';
CREATE INDEX waiting_concurrency ON "firefly".waiting (concurrency_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency';
CREATE INDEX waiting_rate ON "firefly".waiting (rate_key, priority DESC, not_before, id) WHERE reason = 'rate';
CREATE INDEX waiting_both ON "firefly".waiting (rate_key, priority DESC, not_before, id)
  WHERE reason = 'concurrency' AND rate_key IS NOT NULL;
CREATE INDEX waiting_admit_at ON "firefly".waiting (queue, admit_at) WHERE admit_at IS NOT NULL;
COMMENT ON TABLE "firefly".waiting IS
  'A task that may not run yet, and the reason. Inserted with the task, by a retry or rescue, or when it is parked, '
  'loses its slot, or when an attempt is suspended; deleted by consumers when it is due, gets its slots, its name is '
  'known, its dependencies or callees ended, and by what sends the signal that it waits for.';

CREATE TABLE "firefly".consumer (
  id uuid PRIMARY KEY,
  -- The option name, to tell consumers apart: several may have one name. Statements that unnest queues call these name.
  consumer_name text,
  host text NOT NULL,
  pid integer NOT NULL,
  version text NOT NULL,
  -- Of the application, not of this package: the option release.
  release text,
  queues text[] NOT NULL,
  -- Whether queues are those that it has found, and new ones are to be announced to it.
  all_queues boolean NOT NULL DEFAULT false,
  tasks text[] NOT NULL,
  concurrency integer NOT NULL,
  -- The concurrency that an operator asked for, until the consumer has taken it over.
  wanted_concurrency integer,
  started timestamptz NOT NULL DEFAULT now(),
  seen timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL,
  -- The resident memory of the process in bytes, when it renewed its lease last.
  memory bigint,
  process_id integer
) WITH (fillfactor = 50);
COMMENT ON TABLE "firefly".consumer IS
  'A process that runs tasks. It inserts the row, renews lease_until, and deletes the row when it stops. Once '
  'lease_until has passed, any other consumer deletes it, as that of a crashed consumer.';

CREATE TABLE "firefly".consumer_process (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  release text,
  -- When a consumer of it was last known to live, within an hour.
  seen timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX consumer_process_key ON "firefly".consumer_process (host, pid, COALESCE(release, ''));
COMMENT ON TABLE "firefly".consumer_process IS
  'A process that has run tasks: what task.attempted_by names. Inserted by the consumer when it registers; deleted by '
  'consumers once it has been gone for longer than any record is kept.';

CREATE TABLE "firefly".claim_batch (
  -- The consumer makes it up: a sequence may repeat a number after a crash of the server.
  id uuid PRIMARY KEY,
  consumer_id uuid NOT NULL,
  claimed timestamptz NOT NULL DEFAULT now(),
  -- Its only task is in quarantine.
  quarantined boolean NOT NULL DEFAULT false,
  -- The runs that it took: the first id of each, how many tasks it has, and their claim_seq as the claim read it.
  ids bigint[] NOT NULL,
  lengths integer[] NOT NULL,
  claim_seqs integer[] NOT NULL,
  -- As task.attempted_by, for the end of a claim that its consumer does not write: a cancel or a rescue.
  attempted_by integer
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE "firefly".claim_batch IS
  'The tasks that a consumer took with one claim, as runs. Inserted by the claim; deleted with the end of its last task, or by '
  'another consumer that rescues the tasks once the consumer has no row.';

CREATE TABLE "firefly".queue (
  name text PRIMARY KEY,
  paused boolean NOT NULL DEFAULT false,
  -- While it is paused: since when, by whom, and why, as pause() was told.
  paused_since timestamptz,
  paused_by text,
  paused_reason text,
  -- Seconds after its end for which a task's record is kept; cancelled counts as failed. 'Infinity' keeps it for ever.
  -- The first that is not NULL counts: that of `definition`, of `queue`, of `retention`.
  retain_completed double precision CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  -- 'always' is for programs of others that listen on its channel. NULL is 'asleep'.
  notify text CHECK (notify IN ('asleep', 'always'))
);
COMMENT ON TABLE "firefly".queue IS
  'The settings of a queue; one without a row has none. Written by pause() and resume(), and by consumers when they '
  'start, from the option queues. Never deleted.';

CREATE UNLOGGED TABLE "firefly".result_waiter (
  task_id bigint PRIMARY KEY,
  until timestamptz NOT NULL
);
COMMENT ON TABLE "firefly".result_waiter IS
  'A task whose end a program waits for. Only the end of such a task sends NOTIFY, as every NOTIFY takes a lock that '
  'all commits share. Inserted by programs that await or watch a task; deleted with its end, or once the row expires. '
  'Lost in a crash, which costs one poll.';

-- A table, not an index of `task`: an index that mentions `status` would keep completion from being HOT.
CREATE TABLE "firefly".unique_key (
  func_name text NOT NULL,
  key text NOT NULL CHECK (key <> '' AND octet_length(key) <= 1000),
  task_id bigint NOT NULL,
  -- Set once the holder has completed, where its key outlasts it: task.unique_for.
  until timestamptz,
  PRIMARY KEY (func_name, key)
);
CREATE INDEX unique_key_task ON "firefly".unique_key (task_id);
CREATE INDEX unique_key_until ON "firefly".unique_key (until) WHERE until IS NOT NULL;
COMMENT ON TABLE "firefly".unique_key IS
  'A unique key and the task that holds it. Inserted with the task; deleted by the trigger release when the task '
  'ends, by the claim where it does not reject duplicates while it runs, or by maintenance after `until`.';

CREATE TABLE "firefly".definition (
  func_name text PRIMARY KEY,
  -- Where firefly.schedule() puts the task unless it is told; NULL is 'default'.
  queue text,
  concurrency_limit integer CHECK (concurrency_limit > 0),
  rate_limit integer CHECK (rate_limit > 0),
  -- Seconds.
  rate_per double precision CHECK (rate_per > 0 AND rate_per <= 31557600000),
  retain_completed double precision CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  defined timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE "firefly".definition IS
  'The queue, the limits and the retention of the tasks of a name; NULL is none of its own. Written by '
  'consumers when they start: the last one counts. Never deleted.';

-- A limited task gets into `ready` only with a slot for each of its keys, so that limits play no part in a claim.
CREATE TABLE "firefly".slot (
  kind text NOT NULL CHECK (kind IN ('concurrency', 'rate')),
  key text NOT NULL,
  task_id bigint NOT NULL,
  taken timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Of a rate, the seconds for which an attempt that has begun keeps it.
  per double precision,
  -- A slot of `concurrency` is held until the claim ends, and this stays NULL. One of `rate` is NULL until the task is
  -- claimed, then 'infinity', since the task may wait in its consumer's buffer, and from the call of its handler on a
  -- time.
  until timestamptz
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE "firefly".slot REPLICA IDENTITY FULL;
CREATE INDEX slot_key ON "firefly".slot (key, kind);
CREATE INDEX slot_task ON "firefly".slot (task_id);
CREATE INDEX slot_until ON "firefly".slot (until) WHERE until IS NOT NULL;
COMMENT ON TABLE "firefly".slot IS
  'The right of a task to run under a limit. Inserted by _admit(), together with the row in ready; deleted by the '
  'trigger release when the claim ends, and that of a rate by consumers once `until` has passed.';

CREATE TABLE "firefly".cron (
  name text PRIMARY KEY,
  -- The name of the task and its aliases: two rows that share one are the same task, renamed.
  names text[] NOT NULL,
  expression text NOT NULL,
  timezone text NOT NULL,
  missed text NOT NULL CHECK (missed IN ('skip', 'one', 'all')),
  -- The row that a slot inserts, by the names of the columns.
  task jsonb NOT NULL,
  -- All of the above that decides when and what is scheduled, as the code has it: only a consumer with the same text
  -- may fire its slots.
  definition text NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  -- While it is paused: since when.
  paused_since timestamptz,
  -- When a consumer started that knows the task and no cron of it.
  removed timestamptz,
  -- Slots up to here are not made up for, whatever `missed` is.
  since timestamptz NOT NULL DEFAULT now(),
  defined timestamptz NOT NULL DEFAULT now(),
  -- A consumer with the same definition: _own_crons().
  consumer_id uuid
);
COMMENT ON TABLE "firefly".cron IS
  'A task with a cron, by the name of the task. Written by consumers when they start, the last one counts, and by '
  'pause_cron() and resume_cron(); deleted by the command cron delete.';

-- The primary key lets one of any number of consumers fire a slot.
CREATE TABLE "firefly".cron_slot (
  cron text NOT NULL REFERENCES "firefly".cron (name) ON DELETE CASCADE,
  slot timestamptz NOT NULL,
  -- The task that it scheduled, or the duplicate that kept it from that.
  task_id bigint,
  fired timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cron, slot)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE "firefly".cron_slot IS
  'A time at which a cron fired. Inserted by the consumer that fired it; all but the last hundred of a cron are '
  'deleted, as no slot fires that is older than the newest.';

-- A walk by id needs no index that the hot path would pay for.
CREATE TABLE "firefly".retention (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  retain_completed double precision NOT NULL DEFAULT 7 * 86400 CHECK (retain_completed >= 0 AND retain_completed <> 'NaN'),
  retain_failed double precision NOT NULL DEFAULT 30 * 86400 CHECK (retain_failed >= 0 AND retain_failed <> 'NaN'),
  -- The id of the last record that pruning has looked at.
  prune_cursor bigint NOT NULL DEFAULT 0,
  -- Pruning does not go on before, however many consumers there are.
  next_prune timestamptz NOT NULL DEFAULT '-infinity',
  -- The last minute for which a consumer has looked at what is in the queues: queue_minute.
  sampled timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO "firefly".retention DEFAULT VALUES;
COMMENT ON TABLE "firefly".retention IS
  'One row: how long records are kept where neither their task nor their queue decides, and how far pruning has come. '
  'Written by consumers, when they start, when they prune, and once a minute.';
