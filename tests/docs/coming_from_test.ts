import { assertEquals } from "@std/assert";
import type {
  BackoffOptions,
  DeduplicationOptions,
  JobsOptions,
  QueueOptions,
  RateLimiterOptions,
  RepeatOptions,
  WorkerOptions,
} from "bullmq";
import type { CronItem, CronItemOptions, RunnerOptions, TaskSpec } from "graphile-worker";
import type { ConstructorOptions, Queue, ScheduleOptions, SendOptions, WorkOptions } from "pg-boss";
import { IGNORABLE_REASONS } from "../../src/import/options.ts";

/** The keys of an interface of a library. One that is missing here, or gone there, is an error of the type checker. */
function keysOf<T extends object>(keys: Record<keyof T, true>): string[] {
  return Object.keys(keys);
}

const JOB = {
  id: true,
  priority: true,
  startAfter: true,
  singletonKey: true,
  singletonSeconds: true,
  singletonNextSlot: true,
  group: true,
  deadLetter: true,
  db: true,
} as const;

const INHERITED = {
  expireInSeconds: true,
  retentionSeconds: true,
  deleteAfterSeconds: true,
  retryLimit: true,
  retryDelay: true,
  retryBackoff: true,
  retryDelayMax: true,
  heartbeatSeconds: true,
} as const;

const PG_BOSS = [
  ...keysOf<SendOptions>({ ...JOB, ...INHERITED }),
  ...keysOf<Queue>({
    ...INHERITED,
    name: true,
    policy: true,
    partition: true,
    deadLetter: true,
    warningQueueSize: true,
    notify: true,
  }),
  ...keysOf<ScheduleOptions>({ ...JOB, ...INHERITED, tz: true, key: true, missed: true }),
  ...keysOf<WorkOptions>({
    batchSize: true,
    burstWhenBatchFull: true,
    burstWhenReadyExceeds: true,
    groupConcurrency: true,
    heartbeatRefreshSeconds: true,
    ignoreStartAfter: true,
    includeMetadata: true,
    localConcurrency: true,
    localGroupConcurrency: true,
    maxPriority: true,
    minPriority: true,
    notifyPollingIntervalSeconds: true,
    orderByCreatedOn: true,
    perJobResults: true,
    pollingIntervalSeconds: true,
    priority: true,
    transactionTimeoutSeconds: true,
    transactional: true,
  }),
  ...keysOf<ConstructorOptions>({
    __test__enableSpies: true,
    allowSchemaCaseVariant: true,
    application_name: true,
    backend: true,
    bamIntervalSeconds: true,
    clock: true,
    clockMonitorIntervalSeconds: true,
    connectionString: true,
    connectionTimeoutMillis: true,
    createSchema: true,
    cronMonitorIntervalSeconds: true,
    cronWorkerIntervalSeconds: true,
    database: true,
    db: true,
    flowIntervalSeconds: true,
    host: true,
    instanceHeartbeatSeconds: true,
    instanceName: true,
    maintenanceIntervalSeconds: true,
    max: true,
    migrate: true,
    monitorIntervalSeconds: true,
    monitorVacuum: true,
    notifyHeartbeatIntervalMs: true,
    notifyHeartbeatTimeoutMs: true,
    notifyKeepAliveInitialDelayMs: true,
    openTelemetry: true,
    options: true,
    password: true,
    persistQueueStats: true,
    persistWarnings: true,
    port: true,
    queueCacheIntervalSeconds: true,
    queueStatRetentionDays: true,
    registerInstance: true,
    reindex: true,
    reindexIntervalSeconds: true,
    schedule: true,
    schema: true,
    ssl: true,
    supervise: true,
    superviseIntervalSeconds: true,
    useListenNotify: true,
    user: true,
    warningQueueSize: true,
    warningRetentionDays: true,
    warningSlowQuerySeconds: true,
  }),
];

const GRAPHILE_WORKER = [
  ...keysOf<TaskSpec>({
    queueName: true,
    runAt: true,
    priority: true,
    maxAttempts: true,
    jobKey: true,
    jobKeyMode: true,
    flags: true,
  }),
  ...keysOf<CronItemOptions>({
    backfillPeriod: true,
    maxAttempts: true,
    queueName: true,
    priority: true,
    jobKey: true,
    jobKeyMode: true,
  }),
  ...keysOf<Omit<CronItem, "pattern">>({ task: true, match: true, options: true, payload: true, identifier: true }),
  ...keysOf<RunnerOptions>({
    concurrency: true,
    connectionString: true,
    crontab: true,
    crontabFile: true,
    events: true,
    forbiddenFlags: true,
    gracefulShutdownAbortTimeout: true,
    logger: true,
    maxPoolSize: true,
    maxResetLockedInterval: true,
    minResetLockedInterval: true,
    noHandleSignals: true,
    noPreparedStatements: true,
    parsedCronItems: true,
    pgPool: true,
    pollInterval: true,
    preset: true,
    schema: true,
    taskDirectory: true,
    taskList: true,
    useNodeTime: true,
  }),
  ...keysOf<NonNullable<NonNullable<RunnerOptions["preset"]>["worker"]>>({
    completeJobBatchDelay: true,
    concurrentJobs: true,
    connectionString: true,
    crontabFile: true,
    events: true,
    failJobBatchDelay: true,
    fileExtensions: true,
    getQueueNameBatchDelay: true,
    gracefulShutdownAbortTimeout: true,
    localQueue: true,
    logger: true,
    maxPoolSize: true,
    maxResetLockedInterval: true,
    minResetLockedInterval: true,
    pollInterval: true,
    preparedStatements: true,
    schema: true,
    taskDirectory: true,
    useNodeTime: true,
  }),
];

const BULLMQ = [
  ...keysOf<JobsOptions>({
    attempts: true,
    backoff: true,
    continueParentOnFailure: true,
    deduplication: true,
    delay: true,
    failParentOnFailure: true,
    ignoreDependencyOnFailure: true,
    jobId: true,
    keepLogs: true,
    lifo: true,
    parent: true,
    prevMillis: true,
    priority: true,
    removeDependencyOnFailure: true,
    removeOnComplete: true,
    removeOnFail: true,
    repeatJobKey: true,
    sizeLimit: true,
    stackTraceLimit: true,
    telemetry: true,
    timestamp: true,
  }),
  ...keysOf<BackoffOptions>({ type: true, delay: true, jitter: true }),
  ...keysOf<DeduplicationOptions>({
    id: true,
    ttl: true,
    extend: true,
    replace: true,
    reschedule: true,
    keepLastIfActive: true,
  }),
  ...keysOf<RateLimiterOptions>({ max: true, duration: true }),
  ...keysOf<RepeatOptions>({
    count: true,
    endDate: true,
    every: true,
    immediately: true,
    jobId: true,
    key: true,
    limit: true,
    offset: true,
    pattern: true,
    prevMillis: true,
    startDate: true,
    tz: true,
  }),
  ...keysOf<QueueOptions>({
    blockingConnection: true,
    connection: true,
    defaultJobOptions: true,
    prefix: true,
    settings: true,
    skipMetasUpdate: true,
    skipVersionCheck: true,
    skipWaitingForReady: true,
    streams: true,
    telemetry: true,
  }),
  ...keysOf<WorkerOptions>({
    autorun: true,
    blockingConnection: true,
    concurrency: true,
    connection: true,
    drainDelay: true,
    limiter: true,
    lockDuration: true,
    lockRenewTime: true,
    maxStalledCount: true,
    maxStartedAttempts: true,
    maximumRateLimitDelay: true,
    metrics: true,
    name: true,
    prefix: true,
    removeOnComplete: true,
    removeOnFail: true,
    runRetryDelay: true,
    settings: true,
    skipLockRenewal: true,
    skipStalledCheck: true,
    skipVersionCheck: true,
    skipWaitingForReady: true,
    stalledInterval: true,
    telemetry: true,
    useWorkerThreads: true,
    workerForkOptions: true,
    workerThreadsOptions: true,
  }),
];

async function readPage(name: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../../docs/coming-from-${name}.md`, import.meta.url));
}

/** The names in code in the first cells of the tables of a page. */
function namesIn(page: string): Set<string> {
  const cells = Array.from(page.matchAll(/^\|(.*?)\|/gm), ([, cell]) => cell!);
  return new Set(cells.flatMap((cell) => Array.from(cell.matchAll(/`(\w+)`/g), ([, name]) => name!)));
}

for (
  const [name, options] of Object.entries({ "pg-boss": PG_BOSS, "graphile-worker": GRAPHILE_WORKER, bullmq: BULLMQ })
) {
  Deno.test(`docs/coming-from-${name}.md has every option of the library in its tables`, async () => {
    const written = namesIn(await readPage(name));

    assertEquals(options.filter((option) => !written.has(option)), []);
  });
}

Deno.test("the pages of the importers have every reason that can be ignored, with its flag", async () => {
  const pages = (await Promise.all(["pg-boss", "graphile-worker", "bullmq"].map(readPage))).join();

  assertEquals(IGNORABLE_REASONS.filter((reason) => !pages.includes(`--ignore ${reason}`)), []);
});
