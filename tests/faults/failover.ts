import postgres from "postgres";
import { Firefly } from "../../mod.ts";
import { type CliProcess, startCli } from "../support/process.ts";
import { until } from "../support/waiting.ts";
import type { Fault, Figures, Scale } from "./fault.ts";
import { write } from "./ledger_tasks.ts";
import { type Server, startServer, startStandby } from "./servers.ts";
import { without } from "../support/without.ts";

const TASKS = new URL("./ledger_tasks.ts", import.meta.url).pathname;

/** Without it, a consumer stays on the first of the hosts that answers. */
const PRIMARY_ONLY = {
  file: "src/database/settings.ts",
  find: `hosts.length > 1 ? "primary" : undefined`,
  replace: "undefined",
};

/** Fault 8: the primary crashes, for a while there is only its standby, and then that is the primary. */
export const failover: Fault = {
  number: 8,
  title: "primary crashes, synchronous standby is promoted, poll at 30 s",
  needs: ["pg_basebackup"],
  async run(figures: Figures, scale: Scale) {
    const alone = scale === "full" ? 10_000 : 1_500;
    await using pair = await startPair();
    const { primary, standby, url } = pair;
    await using ff = new Firefly({ database: url });
    await using consumer = consume(url);
    await until(() => consumer.log.some((line) => line.includes('"event":"listening"')), 30_000);
    const writers = startWriters(ff);
    await sleep(1_000);

    await primary.stop("immediate");
    const [crashed, before] = [performance.now(), told(consumer).length];
    await sleep(alone);
    await standby.promote();
    const promoted = performance.now();
    const after = writers.ids.length;
    await until(() => writers.ids.length > after, 30_000);
    const scheduled = performance.now() - promoted;
    const first = writers.ids[after]!;
    await using db = client(standby.url);
    await until(async () => (await statusOf(db.sql, first)) === "completed", 40_000).catch(() => {});
    const woken = performance.now() - promoted;
    const lines = told(consumer).length - before;
    // Each attempt under way tells once of its end, at once: a burst that is judged over ten seconds.
    const seconds = Math.max(10, (performance.now() - crashed) / 1000);
    await writers.stop();
    figures.within("a task scheduled after the promotion", scheduled, 3_000);
    figures.within("and completed, after the promotion", woken, 3_000);
    figures.atMost("lines of log in ten seconds", Math.round(10 * lines / seconds), 20);
    figures.atLeast("schedule() resolved", writers.ids.length, 1);
    const lost = async () => await missing(db.sql, writers.ids, false);
    const unfinished = async () => await missing(db.sql, writers.ids, true);
    await until(async () => await unfinished() === 0, 60_000).catch(() => {});
    figures.is("of these lost", await lost(), 0);
    figures.is("of these not completed", await unfinished(), 0);
    figures.is("effects twice", await twice(db.sql), 0);
    figures.is("unhandled rejections", unhandled(consumer), 0);
  },
  async control(figures: Figures) {
    await using pair = await startPair();
    await using copy = await without(PRIMARY_ONLY);
    await using _consumer = consume(pair.reversed, copy.root);
    await using ff = new Firefly({ database: pair.primary.url });
    const { id } = await ff.run(() => write.schedule(1));
    await using db = client(pair.primary.url);
    const isDone = async () => await statusOf(db.sql, id) === "completed";
    const done = await until(isDone, 5_000).then(() => true, () => false);
    figures.is("completed within 5 s by a consumer that stays on the standby", done, false);
  },
};

interface Pair extends AsyncDisposable {
  readonly primary: Server;
  readonly standby: Server;
  /** Names both, the primary first. */
  readonly url: string;
  /** Names both, the standby first. */
  readonly reversed: string;
}

/** A migrated server, and a standby without which nothing is committed there. */
async function startPair(): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const primary = stack.use(await startServer());
  const standby = stack.use(await startStandby(primary));
  const ff = new Firefly({ database: primary.url });
  await ff.migrate();
  await ff.close();
  const { sql } = stack.use(client(primary.url));
  await sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
  await sql.unsafe("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await sql`SELECT pg_reload_conf()`;
  await until(async () => {
    const [row] = await sql`SELECT sync_state FROM pg_stat_replication`;
    return row?.sync_state === "sync";
  });
  const urlOf = (...servers: Server[]) =>
    `postgres://postgres@${servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}/postgres`;
  const owned = stack.move();
  return {
    primary,
    standby,
    url: urlOf(primary, standby),
    reversed: urlOf(standby, primary),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function consume(url: string, root?: string): CliProcess {
  const flags = ["--lease", "2s", "--poll-interval", "30s", "--json", "--verbose"];
  return startCli(["consume", "--database", url, "--import", TASKS, ...flags], { root });
}

/** Four that schedule one after another, whatever becomes of it; `ids` are those of the calls that resolved. */
function startWriters(ff: Firefly): { ids: number[]; stop(): Promise<void> } {
  const ids: number[] = [];
  let stopped = false;
  const all = Promise.all(Array.from({ length: 4 }, async (_, writer) => {
    for (let i = 0; !stopped; i++) {
      await ff.run(() => write.schedule(writer * 1_000_000 + i)).then(({ id }) => ids.push(id), () => sleep(50));
      await sleep(10);
    }
  }));
  return {
    ids,
    async stop() {
      stopped = true;
      await all;
    },
  };
}

function client(url: string): AsyncDisposable & { sql: postgres.Sql } {
  const sql = postgres(url, { max: 1, onnotice() {}, fetch_types: false });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

async function statusOf(sql: postgres.Sql, id: number): Promise<string | undefined> {
  const [row] = await sql`SELECT status FROM firefly.task WHERE id = ${id}`;
  return row?.status;
}

/** How many of `ids` have no record, or none that is completed. */
async function missing(sql: postgres.Sql, ids: number[], completed: boolean): Promise<number> {
  const rows = await sql`SELECT id::int FROM firefly.task WHERE NOT ${completed} OR status = 'completed'`;
  const found = new Set(rows.map(({ id }) => id));
  return ids.filter((id) => !found.has(id)).length;
}

async function twice(sql: postgres.Sql): Promise<number> {
  const rows = await sql`SELECT FROM ledger GROUP BY task_id HAVING count(*) > 1`;
  return rows.count;
}

/** Lines that a person who does not ask for all would see, but for one a task that went well. */
function told({ log }: CliProcess): string[] {
  return log.filter((line) => !/"level":"debug"|"event":"completed"/.test(line));
}

function unhandled({ log }: CliProcess): number {
  return log.filter((line) => /"event":"(rejection|exception)"/.test(line)).length;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
