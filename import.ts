/**
 * Moves waiting jobs from pg-boss, graphile-worker and BullMQ. The command `import` does the same.
 *
 * @module
 */
export { type BullMQImportOptions, importFromBullMQ } from "./src/import/bullmq.ts";
export { type GraphileWorkerImportOptions, importFromGraphileWorker } from "./src/import/graphile_worker.ts";
export { importFromPgBoss, type PgBossImportOptions } from "./src/import/pg_boss.ts";
export type { IgnorableReason, ImportOptions, ImportProgress } from "./src/import/options.ts";
export type { RedisConnection } from "./src/import/redis.ts";
export type { FoundSchedule, ImportedJobs, ImportReason, ImportReport, LeftJobs } from "./src/import/report.ts";
