import { ask } from "./database.ts";
import { type OwnReport, ownReport } from "./own_report.ts";

/** What the operating system and a process itself say of it; undefined where nobody does. */
export interface ProcessSample {
  readonly pid: number;
  /** Bytes of memory. */
  readonly rss: number | undefined;
  readonly fds: number | undefined;
  readonly sockets: number | undefined;
  readonly heap: number | undefined;
  readonly timers: number | undefined;
}

/** What the server says. */
export interface ServerSample {
  /** Connections by `application_name`. */
  readonly connections: Readonly<Record<string, number>>;
  /** Of these, those that are idle in a transaction. */
  readonly inTransaction: number;
  readonly listeners: number;
  readonly locks: number;
  readonly advisory: number;
  /** Locks that somebody waits for. */
  readonly waited: number;
  /** Bytes of each table with its indexes. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly dead: Readonly<Record<string, number>>;
  /** The part of the queue of notifications that is full. */
  readonly notify: number;
  /** How many transactions the oldest snapshot holds back. */
  readonly xmin: number;
  /** Tasks by status, and rows of the tables around them. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly places: Readonly<Record<string, number>>;
  readonly rescues: number;
}

/** All that is measured at one time. */
export interface Sample {
  /** Seconds from the start of the load. */
  readonly at: number;
  readonly processes: Readonly<Record<string, ProcessSample>>;
  /** Undefined while the server is down. */
  readonly server: ServerSample | undefined;
}

/** A process to look at. */
export interface Watched {
  readonly name: string;
  readonly pid: number;
  /** Where it reports; undefined for this process. */
  readonly report?: string;
}

/** Takes a sample. */
export async function takeSample(url: string, at: number, watched: readonly Watched[]): Promise<Sample> {
  const [server, ...processes] = await Promise.all([
    sampleServer(url).catch(() => undefined),
    ...watched.map(async (one) => [one.name, await sampleProcess(one)] as const),
  ]);
  return { at, server, processes: Object.fromEntries(processes) };
}

async function sampleProcess({ pid, report }: Watched): Promise<ProcessSample> {
  const own = report === undefined ? ownReport() : await readReport(report, pid);
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  const targets: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      targets.push(await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "closed"));
    }
  } catch {
    // There is no /proc, or the process has just ended.
  }
  const open = targets.filter((target) => target !== "closed");
  const [fds, sockets] = [open.length, open.filter((target) => target.startsWith("socket:")).length];
  return {
    pid,
    rss: rss ? Number(rss) * 1024 : undefined,
    fds: fds || undefined,
    sockets: fds ? sockets : undefined,
    heap: own?.heap,
    timers: own?.timers,
  };
}

/** Processes write their reports every few seconds; one of a process that stands still is no news. */
async function readReport(file: string, pid: number): Promise<OwnReport | undefined> {
  const text = await Deno.readTextFile(file).catch(() => "");
  const report = text ? JSON.parse(text) as OwnReport : undefined;
  return report?.pid === pid && Date.now() - report.at < 15_000 ? report : undefined;
}

async function sampleServer(url: string): Promise<ServerSample> {
  return await ask(url, async (sql) => {
    const [row] = await sql`
      WITH backend AS MATERIALIZED (
        SELECT pid, application_name, state, query, backend_xmin
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
      ), lock AS MATERIALIZED (
        SELECT locktype, granted
        FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
      ), tables AS MATERIALIZED (
        SELECT relname, pg_total_relation_size(relid) AS size, n_dead_tup
        FROM pg_stat_user_tables
        WHERE schemaname = 'firefly'
      )
      SELECT json_build_object(
        'connections', (SELECT COALESCE(json_object_agg(application_name, n), '{}') FROM (
          SELECT application_name, count(*) AS n FROM backend WHERE application_name <> 'soak-probe' GROUP BY 1
        ) AS each),
        'inTransaction', (SELECT count(*) FROM backend WHERE state LIKE 'idle in transaction%'),
        'listeners', (SELECT count(*) FROM backend WHERE query ~ '^(UN)?LISTEN|pg_listening_channels|_wake_lock'),
        'locks', (SELECT count(*) FROM lock),
        'advisory', (SELECT count(*) FROM lock WHERE locktype = 'advisory'),
        'waited', (SELECT count(*) FROM lock WHERE NOT granted),
        'sizes', (SELECT json_object_agg(relname, size) FROM tables),
        'dead', (SELECT json_object_agg(relname, n_dead_tup) FROM tables),
        'notify', pg_notification_queue_usage(),
        'xmin', (SELECT COALESCE(max(age(backend_xmin)), 0) FROM backend),
        'statuses', (SELECT COALESCE(json_object_agg(status, n), '{}') FROM (
          SELECT status, count(*) AS n FROM firefly.task GROUP BY 1
        ) AS each),
        'places', json_build_object(
          'ready', (SELECT count(*) FROM firefly.ready), 'waiting', (SELECT count(*) FROM firefly.waiting),
          'claim_batch', (SELECT count(*) FROM firefly.claim_batch), 'slot', (SELECT count(*) FROM firefly.slot),
          'unique_key', (SELECT count(*) FROM firefly.unique_key), 'result_waiter', (SELECT count(*) FROM firefly.result_waiter)
        ),
        'rescues', (SELECT COALESCE(sum(rescues), 0) FROM soak.life)
      )::text AS sample
    `;
    return JSON.parse(row!.sample);
  });
}
