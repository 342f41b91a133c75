/** The schema as the migrations make it; written by scripts/describe_schema.ts. */
export const SCHEMA_PARTS: string = `
column _claimed_run.attempted_by: integer
column _claimed_run.batch_id: uuid
column _claimed_run.claim_seq: integer
column _claimed_run.claimed: timestamp with time zone
column _claimed_run.consumer_id: uuid
column _claimed_run.id: bigint
column _claimed_run.length: integer
column _claimed_run.quarantined: boolean
column _claimed_task.attempted_by: integer
column _claimed_task.batch_id: uuid
column _claimed_task.claim_seq: integer
column _claimed_task.claimed: timestamp with time zone
column _claimed_task.consumer_id: uuid
column _claimed_task.id: bigint
column _claimed_task.quarantined: boolean
column _limit_queue.admit_at: timestamp with time zone
column _limit_queue.claim_seq: integer
column _limit_queue.concurrency_key: text
column _limit_queue.func_name: text
column _limit_queue.id: bigint
column _limit_queue.not_before: timestamp with time zone
column _limit_queue.pending: integer
column _limit_queue.place: tid
column _limit_queue.priority: integer
column _limit_queue.quarantined: boolean
column _limit_queue.queue: text
column _limit_queue.rate_key: text
column _limit_queue.reason: text
column _limit_queue.signals: text[]
column _limit_queue.suspended: boolean
column _ready_task.claim_seq: integer
column _ready_task.func_name: text
column _ready_task.id: bigint
column _ready_task.not_before: timestamp with time zone
column _ready_task.priority: integer
column _ready_task.quarantined: boolean
column _ready_task.queue: text
column alert.cause: text not null
column alert.detail: jsonb
column alert.fired: timestamp with time zone
column alert.kind: text not null
column alert.reported: timestamp with time zone
column alert.seen: timestamp with time zone not null default
column claim_batch.attempted_by: integer
column claim_batch.claim_seqs: integer[] not null
column claim_batch.claimed: timestamp with time zone not null default
column claim_batch.consumer_id: uuid not null
column claim_batch.id: uuid not null
column claim_batch.ids: bigint[] not null
column claim_batch.lengths: integer[] not null
column claim_batch.quarantined: boolean not null default
column consumer.all_queues: boolean not null default
column consumer.concurrency: integer not null
column consumer.consumer_name: text
column consumer.host: text not null
column consumer.id: uuid not null
column consumer.lease_until: timestamp with time zone not null
column consumer.memory: bigint
column consumer.pid: integer not null
column consumer.process_id: integer
column consumer.queues: text[] not null
column consumer.release: text
column consumer.seen: timestamp with time zone not null default
column consumer.started: timestamp with time zone not null default
column consumer.tasks: text[] not null
column consumer.version: text not null
column consumer.wanted_concurrency: integer
column consumer_process.host: text not null
column consumer_process.id: integer not null identity
column consumer_process.pid: integer not null
column consumer_process.release: text
column consumer_process.seen: timestamp with time zone not null default
column consumer_record.concurrency: integer
column consumer_record.host: text
column consumer_record.id: uuid
column consumer_record.lease_until: timestamp with time zone
column consumer_record.memory: bigint
column consumer_record.name: text
column consumer_record.pid: integer
column consumer_record.queues: text[]
column consumer_record.release: text
column consumer_record.running: integer
column consumer_record.running_since: timestamp with time zone
column consumer_record.running_tasks: jsonb
column consumer_record.seen: timestamp with time zone
column consumer_record.started: timestamp with time zone
column consumer_record.state: text
column consumer_record.tasks: text[]
column consumer_record.version: text
column consumer_record.wanted_concurrency: integer
column cron.consumer_id: uuid
column cron.defined: timestamp with time zone not null default
column cron.definition: text not null
column cron.expression: text not null
column cron.missed: text not null
column cron.name: text not null
column cron.names: text[] not null
column cron.paused: boolean not null default
column cron.paused_since: timestamp with time zone
column cron.removed: timestamp with time zone
column cron.since: timestamp with time zone not null default
column cron.task: jsonb not null
column cron.timezone: text not null
column cron_record.defined: timestamp with time zone
column cron_record.expression: text
column cron_record.last_fired: timestamp with time zone
column cron_record.last_slot: timestamp with time zone
column cron_record.last_status: text
column cron_record.last_task_id: bigint
column cron_record.missed: text
column cron_record.name: text
column cron_record.paused_since: timestamp with time zone
column cron_record.queue: text
column cron_record.since: timestamp with time zone
column cron_record.state: text
column cron_record.timezone: text
column cron_slot.cron: text not null
column cron_slot.fired: timestamp with time zone not null default
column cron_slot.slot: timestamp with time zone not null
column cron_slot.task_id: bigint
column definition.concurrency_limit: integer
column definition.defined: timestamp with time zone not null default
column definition.func_name: text not null
column definition.queue: text
column definition.rate_limit: integer
column definition.rate_per: double precision
column definition.retain_completed: double precision
column definition.retain_failed: double precision
column dependency.called: boolean not null default
column dependency.dependency_id: bigint not null
column dependency.ordinal: integer not null
column dependency.settled: boolean not null default
column dependency.shared: boolean not null default
column dependency.status: text
column dependency.task_id: bigint not null
column ended.task_id: bigint not null
column error_group.attempts: bigint not null
column error_group.fingerprint: bigint not null
column error_group.first: timestamp with time zone not null
column error_group.func_name: text not null
column error_group.last: timestamp with time zone not null
column error_group.last_task_id: bigint not null
column error_group.message: text not null
column error_group.name: text not null
column error_group.queue: text not null
column error_overview.attempts: bigint
column error_overview.fingerprint: bigint
column error_overview.first: timestamp with time zone
column error_overview.func_name: text
column error_overview.last: timestamp with time zone
column error_overview.last_task_id: bigint
column error_overview.name: text
column error_overview.queue: text
column failed_task.failed: timestamp with time zone not null
column failed_task.fingerprint: bigint not null
column failed_task.func_name: text not null
column failed_task.queue: text not null
column failed_task.task_id: bigint not null
column migration.applied: timestamp with time zone not null default
column migration.checksum: text not null
column migration.name: text not null
column migration.oldest: integer not null
column migration.version: integer not null
column queue.name: text not null
column queue.notify: text
column queue.paused: boolean not null default
column queue.paused_by: text
column queue.paused_reason: text
column queue.paused_since: timestamp with time zone
column queue.retain_completed: double precision
column queue.retain_failed: double precision
column queue_minute.completed: integer not null default
column queue_minute.due: integer
column queue_minute.failed: integer not null default
column queue_minute.minute: timestamp with time zone not null
column queue_minute.oldest: real
column queue_minute.places: integer
column queue_minute.queue: text not null
column queue_minute.retried: integer not null default
column queue_minute.running: integer
column queue_minute.snoozed: integer not null default
column queue_minute.wait: integer[] not null default
column queue_minute.waiting: integer
column queue_minute.waits: jsonb
column ready.claim_seq: integer not null
column ready.func_name: text not null
column ready.id: bigint not null
column ready.length: integer not null default
column ready.not_before: timestamp with time zone not null
column ready.priority: integer not null
column ready.quarantined: boolean not null default
column ready.queue: text not null
column result_waiter.task_id: bigint not null
column result_waiter.until: timestamp with time zone not null
column retention.next_prune: timestamp with time zone not null default
column retention.prune_cursor: bigint not null default
column retention.retain_completed: double precision not null default
column retention.retain_failed: double precision not null default
column retention.sampled: timestamp with time zone not null default
column retention.singleton: boolean not null default
column signal.id: bigint not null identity
column signal.name: text not null
column signal.payload: text
column signal.sent: timestamp with time zone not null default
column signal.task_id: bigint not null
column slot.key: text not null
column slot.kind: text not null
column slot.per: double precision
column slot.taken: timestamp with time zone not null default
column slot.task_id: bigint not null
column slot.until: timestamp with time zone
column step.attempt: integer not null
column step.began: timestamp with time zone not null
column step.callees: bigint[]
column step.due: timestamp with time zone
column step.ended: timestamp with time zone
column step.error: jsonb
column step.failures: integer not null default
column step.key: text not null default
column step.kind: text not null default
column step.name: text not null
column step.returned: text
column step.seq: integer
column step.status: text not null
column step.task_id: bigint not null
column step.version: integer not null default
column step_json.attempt: integer
column step_json.began: timestamp with time zone
column step_json.callees: bigint[]
column step_json.due: timestamp with time zone
column step_json.ended: timestamp with time zone
column step_json.error: jsonb
column step_json.failures: integer
column step_json.key: text
column step_json.kind: text
column step_json.name: text
column step_json.returned: jsonb
column step_json.seq: integer
column step_json.status: text
column step_json.task_id: bigint
column step_json.version: integer
column task.attempted_by: integer
column task.backoff: jsonb
column task.cancelled: timestamp with time zone
column task.claim_seq: integer not null default
column task.compensates: boolean
column task.completed: timestamp with time zone
column task.concurrency_key: text
column task.crash_count: smallint
column task.created: timestamp with time zone not null default
column task.dependants: boolean
column task.dependencies: integer
column task.errors: error_list
column task.failed: timestamp with time zone
column task.forked_from: bigint
column task.func_name: task_name not null
column task.id: bigint not null identity
column task.max_retries: retry_count
column task.not_before: timestamp with time zone not null default
column task.params: text not null default
column task.priority: integer not null default
column task.progress: double precision
column task.progress_note: text
column task.queue: queue_name not null default
column task.rate_key: text
column task.rescues: integer
column task.retry_attempts: integer
column task.retry_delay: delay_seconds
column task.returned: text
column task.snoozes: integer
column task.started: timestamp with time zone
column task.status: task_status not null default
column task.tags: text[]
column task.timeout: timeout_seconds
column task.traceparent: bytea
column task.unique_among: text[]
column task.unique_for: unique_seconds
column task.unique_key: text
column task_json.attempt: integer
column task_json.attempted_by: jsonb
column task_json.backoff: jsonb
column task_json.cancelled: timestamp with time zone
column task_json.completed: timestamp with time zone
column task_json.concurrency_key: text
column task_json.created: timestamp with time zone
column task_json.dependencies: integer
column task_json.errors: jsonb
column task_json.failed: timestamp with time zone
column task_json.forked_from: bigint
column task_json.func_name: text
column task_json.id: bigint
column task_json.max_retries: integer
column task_json.not_before: timestamp with time zone
column task_json.params: jsonb
column task_json.priority: integer
column task_json.progress: double precision
column task_json.progress_note: text
column task_json.queue: text
column task_json.rate_key: text
column task_json.rescues: integer
column task_json.retry_attempts: integer
column task_json.retry_delay: double precision
column task_json.returned: jsonb
column task_json.snoozes: integer
column task_json.started: timestamp with time zone
column task_json.state: text
column task_json.status: text
column task_json.tags: text[]
column task_json.timeout: double precision
column task_json.traceparent: text
column task_json.unique_key: text
column task_log.at: timestamp with time zone not null
column task_log.attempt: integer not null
column task_log.fields: jsonb
column task_log.id: bigint not null identity
column task_log.level: text not null
column task_log.message: text not null
column task_log.step: text
column task_log.task_id: bigint not null
column task_minute.completed: integer not null default
column task_minute.failed: integer not null default
column task_minute.func_name: text not null
column task_minute.minute: timestamp with time zone not null
column task_minute.queue: text not null
column task_minute.retried: integer not null default
column task_minute.run: integer[] not null default
column task_overview.attempt: integer
column task_overview.attempted_by: jsonb
column task_overview.cancelled: timestamp with time zone
column task_overview.completed: timestamp with time zone
column task_overview.created: timestamp with time zone
column task_overview.dependencies: integer
column task_overview.error: text
column task_overview.failed: timestamp with time zone
column task_overview.forked_from: bigint
column task_overview.func_name: text
column task_overview.id: bigint
column task_overview.max_retries: integer
column task_overview.not_before: timestamp with time zone
column task_overview.priority: integer
column task_overview.progress: double precision
column task_overview.queue: text
column task_overview.rescues: integer
column task_overview.retry_attempts: integer
column task_overview.retry_delay: double precision
column task_overview.snoozes: integer
column task_overview.started: timestamp with time zone
column task_overview.state: text
column task_overview.status: text
column task_overview.tags: text[]
column task_overview.timeout: double precision
column task_reason.data: jsonb
column task_reason.message: text
column task_reason.reason: text
column task_record.attempt: integer
column task_record.attempted_by: jsonb
column task_record.backoff: jsonb
column task_record.cancelled: timestamp with time zone
column task_record.completed: timestamp with time zone
column task_record.concurrency_key: text
column task_record.created: timestamp with time zone
column task_record.dependencies: integer
column task_record.errors: jsonb
column task_record.failed: timestamp with time zone
column task_record.forked_from: bigint
column task_record.func_name: text
column task_record.id: bigint
column task_record.max_retries: integer
column task_record.not_before: timestamp with time zone
column task_record.params: text
column task_record.priority: integer
column task_record.progress: double precision
column task_record.progress_note: text
column task_record.queue: text
column task_record.rate_key: text
column task_record.rescues: integer
column task_record.retry_attempts: integer
column task_record.retry_delay: double precision
column task_record.returned: text
column task_record.snoozes: integer
column task_record.started: timestamp with time zone
column task_record.state: text
column task_record.status: text
column task_record.tags: text[]
column task_record.timeout: double precision
column task_record.traceparent: text
column task_record.unique_key: text
column unfinished_import.committed: timestamp with time zone not null default
column unfinished_import.id: uuid not null
column unfinished_import.source: text not null
column unique_key.func_name: text not null
column unique_key.key: text not null
column unique_key.task_id: bigint not null
column unique_key.until: timestamp with time zone
column wait.callees: bigint[]
column wait.func_name: text
column wait.key: text
column wait.kind: text
column wait.name: text
column wait.queue: text
column wait.since: timestamp with time zone
column wait.task_id: bigint
column wait.until: timestamp with time zone
column waiting.admit_at: timestamp with time zone
column waiting.claim_seq: integer not null
column waiting.concurrency_key: text
column waiting.func_name: text not null
column waiting.id: bigint not null
column waiting.not_before: timestamp with time zone not null
column waiting.pending: integer
column waiting.priority: integer not null
column waiting.quarantined: boolean not null default
column waiting.queue: text not null
column waiting.rate_key: text
column waiting.reason: text not null
column waiting.signals: text[]
column waiting.suspended: boolean
constraint alert.alert_kind_check: check (kind)
constraint alert.alert_pkey: primary key (cause)
constraint claim_batch.claim_batch_pkey: primary key (id)
constraint consumer.consumer_pkey: primary key (id)
constraint consumer_process.consumer_process_pkey: primary key (id)
constraint cron.cron_missed_check: check (missed)
constraint cron.cron_pkey: primary key (name)
constraint cron_slot.cron_slot_cron_fkey: foreign key (cron)
constraint cron_slot.cron_slot_pkey: primary key (cron, slot)
constraint definition.definition_concurrency_limit_check: check (concurrency_limit)
constraint definition.definition_pkey: primary key (func_name)
constraint definition.definition_rate_limit_check: check (rate_limit)
constraint definition.definition_rate_per_check: check (rate_per)
constraint definition.definition_retain_completed_check: check (retain_completed)
constraint definition.definition_retain_failed_check: check (retain_failed)
constraint dependency.dependency_pkey: primary key (ordinal, task_id)
constraint error_group.error_group_pkey: primary key (fingerprint)
constraint failed_task.failed_task_pkey: primary key (task_id)
constraint migration.migration_pkey: primary key (version)
constraint queue.queue_notify_check: check (notify)
constraint queue.queue_pkey: primary key (name)
constraint queue.queue_retain_completed_check: check (retain_completed)
constraint queue.queue_retain_failed_check: check (retain_failed)
constraint queue_minute.queue_minute_pkey: primary key (minute, queue)
constraint result_waiter.result_waiter_pkey: primary key (task_id)
constraint retention.retention_pkey: primary key (singleton)
constraint retention.retention_retain_completed_check: check (retain_completed)
constraint retention.retention_retain_failed_check: check (retain_failed)
constraint retention.retention_singleton_check: check (singleton)
constraint signal.signal_name_check: check (name)
constraint signal.signal_pkey: primary key (id)
constraint slot.slot_kind_check: check (kind)
constraint step.step_kind_check: check (kind)
constraint step.step_name_check: check (name)
constraint step.step_pkey: primary key (key, name, task_id)
constraint step.step_status_check: check (status)
constraint task.task_pkey: primary key (id)
constraint task_log.task_log_level_check: check (level)
constraint task_log.task_log_pkey: primary key (id, task_id)
constraint task_minute.task_minute_pkey: primary key (func_name, minute, queue)
constraint unfinished_import.unfinished_import_pkey: primary key (id)
constraint unique_key.unique_key_key_check: check (key)
constraint unique_key.unique_key_pkey: primary key (func_name, key)
constraint waiting.waiting_concurrency_key: check (concurrency_key)
constraint waiting.waiting_rate_key: check (rate_key)
constraint waiting.waiting_reason_check: check (reason)
domain delay_seconds: double precision task_retry_delay
domain error_list: jsonb task_errors
domain queue_name: text task_queue_channel, task_queue_name
domain retry_count: integer task_max_retries
domain task_name: text task_func_name
domain task_status: text task_status_known
domain timeout_seconds: double precision task_timeout
domain unique_seconds: double precision task_unique_for
index alert.alert_pkey: unique (cause)
index claim_batch.claim_batch_pkey: unique (id)
index consumer.consumer_pkey: unique (id)
index consumer_process.consumer_process_key: unique (host, pid, COALESCE(release, ''::text))
index consumer_process.consumer_process_pkey: unique (id)
index cron.cron_pkey: unique (name)
index cron_slot.cron_slot_pkey: unique (cron, slot)
index definition.definition_pkey: unique (func_name)
index dependency.dependency_calls: (task_id) partial
index dependency.dependency_dependants: (dependency_id)
index dependency.dependency_pkey: unique (task_id, ordinal)
index ended.ended_task: (task_id)
index error_group.error_group_pkey: unique (fingerprint)
index failed_task.failed_task_failed: (failed)
index failed_task.failed_task_fingerprint: (fingerprint, task_id)
index failed_task.failed_task_name: (func_name, task_id)
index failed_task.failed_task_pkey: unique (task_id)
index migration.migration_pkey: unique (version)
index queue.queue_pkey: unique (name)
index queue_minute.queue_minute_pkey: unique (minute, queue)
index ready.ready_order: (queue, priority desc, not_before, id)
index ready.ready_quarantined: (queue, priority desc, not_before, id) partial
index result_waiter.result_waiter_pkey: unique (task_id)
index retention.retention_pkey: unique (singleton)
index signal.signal_pkey: unique (id)
index signal.signal_task: (task_id, name, id)
index slot.slot_key: (key, kind)
index slot.slot_task: (task_id)
index slot.slot_until: (until) partial
index step.step_pkey: unique (task_id, name, key)
index step.step_waiting: (kind, name, began, task_id) partial
index task.task_pkey: unique (id)
index task_log.task_log_at: (at)
index task_log.task_log_id: (id)
index task_log.task_log_pkey: unique (task_id, id)
index task_minute.task_minute_pkey: unique (minute, queue, func_name)
index unfinished_import.unfinished_import_pkey: unique (id)
index unique_key.unique_key_pkey: unique (func_name, key)
index unique_key.unique_key_task: (task_id)
index unique_key.unique_key_until: (until) partial
index waiting.waiting_admit_at: (queue, admit_at) partial
index waiting.waiting_both: (rate_key, priority desc, not_before, id) partial
index waiting.waiting_concurrency: (concurrency_key, priority desc, not_before, id) partial
index waiting.waiting_due: (queue, not_before) partial
index waiting.waiting_id: (id)
index waiting.waiting_rate: (rate_key, priority desc, not_before, id) partial
index waiting.waiting_unknown: (func_name) partial
table _claimed_run: view
table _claimed_task: view
table _limit_queue: view
table _ready_task: view
table alert: table
table claim_batch: table
table consumer: table
table consumer_process: table
table consumer_record: view
table cron: table
table cron_record: view
table cron_slot: table
table definition: table
table dependency: table
table ended: table
table error_group: table
table error_overview: view
table failed_task: table
table migration: table
table queue: table
table queue_minute: table
table ready: table
table result_waiter: table unlogged
table retention: table
table signal: table
table slot: table
table step: table
table step_json: view
table task: table
table task_json: view
table task_log: table
table task_minute: table
table task_overview: view
table task_reason: type
table task_record: view
table unfinished_import: table
table unique_key: table
table wait: view
table waiting: table
trigger task.forget_all_logs: 32 _forget_all_logs
trigger task.forget_all_steps: 32 _forget_all_steps
trigger task.forget_dependencies: 8 _forget_dependencies
trigger task.forget_log: 8 _forget_log
trigger task.forget_steps: 8 _forget_steps
trigger task.place_inserted: 4 _place_inserted
trigger task.release: 17 _release
trigger task.release_all: 32 _release_all
trigger task.release_deleted: 9 _release_deleted
function _admit(text[], text[]): record 7c43726d77fe
function _announce(text): void e8863d5b3491
function _base64(bytea): text immutable strict d354c8bf8614
function _brief_error(jsonb): jsonb immutable strict 7674e2c34922
function _call(bigint, integer, json, json, json): record set enable_seqscan, jit 1beab297a27e
function _cancel_callees(bigint[]): record set enable_seqscan, jit f2a00b3e4824
function _cancel_dependants(bigint[], integer[]): record set enable_seqscan, jit 10db6b65d2d1
function _check_dependencies(json): boolean[] immutable f1be5cb38538
function _compensate_again(bigint): boolean set enable_seqscan, jit ce2dba2dcdde
function _compensated(bigint): step stable cde58d816191
function _compensation(bigint): step stable 4258e050e902
function _count_open(bigint, bigint[]): integer stable fea0c8091e77
function _decode_array(jsonb, jsonb, integer[], integer, bigint): record immutable a06b92be1779
function _decode_error(jsonb, jsonb, integer[], integer, bigint): record immutable c558ce7443ab
function _decode_leaf(jsonb): jsonb immutable strict 7577cbcb079f
function _decode_leaves(text): text immutable strict 5ccbbd97d802
function _decode_list(jsonb, jsonb, integer[], integer, bigint): record immutable 3917b2487ab0
function _decode_members(jsonb, jsonb, integer[], integer, bigint): record immutable ba94f3b244f7
function _decode_node(jsonb, jsonb, integer[], integer, bigint): record immutable 2508a2d77f3d
function _decode_object(jsonb, jsonb, integer[], integer, bigint): record immutable b50a631dd1c1
function _decode_ref(jsonb, jsonb, integer[], integer, bigint): record immutable 46c3488a13d1
function _decode_string(jsonb): text immutable strict b78d25b264e7
function _decode_view(jsonb, jsonb, bigint): record immutable 6d690865d1ae
function _default_queue(text): text stable security definer set search_path 0dfb3be6f8a7
function _delete_each(bigint[]): record set lock_timeout cda1a2a60a8a
function _depend(bigint[], integer[], bigint[], boolean[], bigint[]): void set enable_seqscan, jit 5b3584c512db
function _depend_again(bigint): void set enable_seqscan, jit 1a4c88c6ae4b
function _depend_alike(bigint, bigint): void set enable_seqscan, jit 78a8918dba3d
function _due_in(double precision): timestamp with time zone e3b0c44298fc
function _duplicate_error(bigint, text, text, integer): jsonb 6c67dcfe34e5
function _edit(task, task): void 37c45cc622d4
function _escape(jsonb): jsonb immutable strict c10637ea10bd
function _explain_call(bigint, text, text, timestamp with time zone, bigint[]): task_reason stable f240f8959dd0
function _explain_claim(task): task_reason stable ee50a6edad0b
function _explain_compensation(task): task_reason stable 310f0ad2b4b8
function _explain_concurrency(task): task_reason stable 23e136316d34
function _explain_consumers(task): task_reason stable 952a8ccaff88
function _explain_dependencies(task): task_reason stable 13c434ed69f4
function _explain_ended(task): task_reason stable aa5537b78f24
function _explain_order(task, boolean): task_reason stable 89de41372021
function _explain_rate(task): task_reason stable 1793b14d61eb
function _explain_suspension(task): task_reason stable e1b8243cb056
function _explain_waiting(task): task_reason stable 23ae24032351
function _fingerprint(text, text, text): bigint immutable e3b0c44298fc
function _fire_cron(text, text, timestamp with time zone[], text): record e167a3745610
function _forget_all_logs(): trigger 70714411d14e
function _forget_all_steps(): trigger 0595c7c194ce
function _forget_dependencies(): trigger set enable_seqscan, jit 2530e60d2214
function _forget_log(): trigger set enable_seqscan, jit 713e2744b05c
function _forget_steps(): trigger set enable_seqscan, jit 61f2ea4c4410
function _fork(bigint, text, text): record set enable_seqscan, jit c2640acbdf16
function _format_count(bigint, text): text immutable 525fb1251652
function _format_error(jsonb): text immutable strict ceeff8b2dbb3
function _format_time(timestamp with time zone): text stable b1d979043c01
function _is_base64(text): boolean immutable 5973a73bad8d
function _is_claimed(bigint, bigint): boolean 5e50f072697c
function _is_unmet(task): boolean stable e3b0c44298fc
function _keeps_unique_key(bigint, text, text, text[]): boolean 43cb766949be
function _may_compensate_again(bigint): boolean stable af67c5649d90
function _may_depend_again(bigint): boolean set enable_seqscan, jit 6e865c1b3cd7
function _mentions_tag(text): boolean immutable a85eb5f62acf
function _near_words(text, text[]): text[] immutable fb4765b846cf
function _note_failure(task): void 1a8c05dfdf45
function _notify(text): void security definer eb70c5032bae
function _object(text[], jsonb[]): jsonb immutable strict 93925f227ac8
function _own_crons(uuid, text[], text[]): text 0993e73c1415
function _place(bigint): void 3c427c041033
function _place_inserted(): trigger ced2704ae41e
function _place_record(task): void 9e388234248d
function _produce(json): record ac13791ec15b
function _refuse_move(task, text, text): void 2783ed603886
function _register_crons(uuid, text[], json, boolean): record 124cb3005f2e
function _release(): trigger 696b32d94271
function _release_all(): trigger 6e29cceafdd8
function _release_deleted(): trigger f51748bdfa2d
function _release_dependants(bigint[]): record set enable_seqscan, jit 8e2149c86b7c
function _replace(bigint, text, timestamp with time zone, bytea): boolean set enable_seqscan, jit fee15d92168a
function _requeue_dependant(bigint): boolean 3ad6584de1f5
function _reschedule(bigint, timestamp with time zone, text, integer): text 7220658af6fc
function _retry(bigint): text 0389da8f305e
function _retry_callees(bigint): void set enable_seqscan, jit 440264ddace9
function _retry_record(bigint): text 45377b59028c
function _revive_dependants(bigint): integer set enable_seqscan, jit 772d9d67e030
function _run(bigint): text ee369671422b
function _runs(bigint[]): record immutable 1710969887e7
function _schedule(json, boolean): record set enable_seqscan, jit 95f1e27ce2e3
function _signal(bigint, text, text): boolean 73e09512f364
function _signal_by_key(text, text, text, text): boolean fb02426d04bd
function _store_steps(json, bigint[]): integer set enable_seqscan, jit b3ea0b21b606
function _suspend(json, json, json, integer, uuid[]): record set enable_seqscan, jit b31cd3634695
function _take_place(bigint, text, integer, timestamp with time zone, bigint): boolean 342e96ebb044
function _take_unique_key(text, text, bigint): bigint d174ed4a0997
function _tell_callers(bigint[], integer[], text[]): integer set enable_seqscan, jit be363fc956b1
function _traceparent(text): bytea immutable e3b0c44298fc
function _try_unique_key(text, text, bigint): bigint set lock_timeout 82d0b344d3d3
function _unplace(bigint, text, integer, timestamp with time zone, bigint): boolean 682fcd252161
function _wake(bigint[]): integer set enable_seqscan, jit b1e0a81dceff
function _wake_lock(text): bigint immutable e3b0c44298fc
function cancel(bigint): boolean de592ab42e65
function channel(text): text immutable strict e3b0c44298fc
function control_channel(): text immutable e3b0c44298fc
function decode(text): jsonb immutable strict d14d2848cbe9
function encode(jsonb): text immutable strict af6295b60ca9
function encode_raw(jsonb): text immutable strict 56392a3b8bee
function ended_channel(): text immutable e3b0c44298fc
function explain(bigint): task_reason stable fb0b922bf2b9
function fork(bigint, text, text): bigint 2abfdd44c3f6
function graph(bigint): record stable 2f9877bd095d
function mermaid(bigint): text stable 3bc6f5108e5c
function pause(text, text, text): boolean 20dca28b4eab
function pause_cron(text): boolean c4cafd7252b9
function queues_channel(): text immutable e3b0c44298fc
function reschedule(bigint, timestamp with time zone, text, integer): boolean 621a59a9f3bb
function resume(text): boolean 66412319ac00
function resume_cron(text): boolean 07e9bf7cb5ce
function retry(bigint): boolean 1eaa50b2d4c5
function run(bigint): boolean 6ed58d7d2620
function run_cron(text): bigint cdcaa1af8524
function schedule(text, jsonb, text, timestamp with time zone, integer, integer, double precision, double precision, text[], text, double precision, text, text, bigint[]): bigint 80620779f77d
function signal(bigint, text, jsonb): boolean e1d3874fbd9a
function signal_by_key(text, text, text, jsonb): boolean fcae50dd1251
function try_decode(text): jsonb immutable strict cd0780800947
`;
