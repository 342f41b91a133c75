/**
 * Moves waiting jobs from pg-boss, graphile-worker and BullMQ. The command `import` does the same.
 *
 * @example Look first, then move the jobs of pg-boss
 * ```ts ignore
 * import { importFromPgBoss } from "@firefly/tasks/import";
 * import "./tasks.ts"; // defines the task mail.welcome
 *
 * const map = { "welcome-mail": "mail.welcome" };
 * const { left } = await importFromPgBoss({ map, dryRun: true });
 * if (left.every(({ reason }) => reason === "ended")) await importFromPgBoss({ map });
 * ```
 *
 * @module
 */
export { type BullMQImportOptions, importFromBullMQ } from "./src/import/bullmq.ts";
export { type GraphileWorkerImportOptions, importFromGraphileWorker } from "./src/import/graphile_worker.ts";
export { importFromPgBoss, type PgBossImportOptions } from "./src/import/pg_boss.ts";
export type { IgnorableReason, ImportOptions, ImportProgress } from "./src/import/options.ts";
export type { RedisConnection } from "./src/import/redis.ts";
export type { FoundSchedule, ImportedJobs, ImportReason, ImportReport, LeftJobs } from "./src/import/report.ts";
