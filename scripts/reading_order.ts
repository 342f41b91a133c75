/**
 * The folders of `src/` in import order, each with the stage of a task's life that it holds. A file imports from its own
 * folder and from folders above it; `docs/architecture.md` has the steps of a task's life, each with its file.
 */
export const ORDER: Readonly<Record<string, string>> = {
  "": "what every folder may use: errors, durations, events",
  "wire": "values ⇄ Base64",
  "task": "defines a task: its options, its handler, its record",
  "privacy": "encryption and redaction of stored values",
  "telemetry": "spans for OpenTelemetry, and logs",
  "database": "connections, sessions and transactions",
  "store": "all SQL of the product, one exported function a statement",
  "schema": "migrates the schema, makes roles, finds drift",
  "notify": "LISTEN, and the wake lock that saves NOTIFY",
  "settle": "ends attempts: completes, retries or fails tasks",
  "statistics": "counts what attempts did, and writes it by the minute",
  "records": "reads, watches and prunes task records, waits for results",
  "steps": "runs parts of a handler once for each task, and replays them",
  "attempt": "runs a handler once",
  "schedule": "inserts tasks: batches, unique keys, crons",
  "claim": "takes due tasks, within limits, for as long as a lease lives",
  "consume": "the consumer: start, loop, maintenance, stop",
  "alerts": "looks for failures, backlogs and lost consumers, and tells a webhook",
  "embedded": "the PostgreSQL that Firefly starts where no database is configured",
  "firefly": "the instance that users hold",
  "import": "moves jobs from other queues",
  "testing": "the testing kit: a database and a clock of a test's own",
  "doctor": "checks a database and says what to mend",
  "metrics": "Prometheus text: what consumers count, and what the queues hold",
  "dashboard": "the dashboard: pages over the tables",
  "adapters": "makes transactions of other libraries fit `with({ tx })`",
  "cli": "the command line",
};
