import { chown, mkdtemp, realpath, rmdir } from "node:fs/promises";
import postgres from "postgres";
import { Firefly } from "../../mod.ts";
import { run, serverUser } from "../../src/embedded/run_program.ts";
import { until } from "../support/waiting.ts";
import { allEnded, consumersLive, startConsumerOf, statusesOf } from "./consumers.ts";
import type { Fault, Figures } from "./fault.ts";
import { type Server, startServer } from "./servers.ts";
import { without } from "../support/without.ts";

/** Without it, what the server lacks is the handler's failure. */
const EXHAUSTED = {
  file: "src/database/error_codes.ts",
  find: "if (EXHAUSTED.test(codeOf(cause))) return true;",
  replace: "",
};

/** Fault 19: a full disk is no handler's failure, wherever it is met. */
export const fullDisk: Fault = {
  number: 19,
  title: "a tablespace on 12 MB of memory is full: the handlers' tables, and Firefly's own",
  needs: ["mount"],
  async run(figures, scale) {
    const count = scale === "full" ? 40 : 10;
    const timeout = scale === "full" ? 10 : 1;
    await using server = await startServer();
    const handlers = await fillDisk(server, { count, timeout, own: false });
    report(figures, "the handlers' table full", handlers, count);
    figures.atLeast("attempts that failed with 53100", handlers.met, count);
    const own = await fillDisk(server, { count, timeout, own: true });
    report(figures, "Firefly's tables full", own, count);
    figures.is("consumer.error reported", own.told, true);
  },
  async control(figures) {
    await using copy = await without(EXHAUSTED);
    await using server = await startServer();
    const { failed } = await fillDisk(server, { count: 10, timeout: 1, own: false, root: copy.root });
    figures.atLeast("tasks failed by a full disk", failed, 1);
  },
};

interface Filling {
  /** How many tasks there are. */
  readonly count: number;
  /** Seconds for which the disk is full. */
  readonly timeout: number;
  /** Whether Firefly's tables are on it too. */
  readonly own: boolean;
  readonly root?: string;
}

interface Filled {
  /** Of those that ended while the disk was full. */
  completedEarly: number;
  completed: number;
  failed: number;
  /** Retries used up. */
  retries: number;
  /** Attempts that met the full disk, by the records' histories. */
  met: number;
  /** Whether the log of the consumer says so. */
  told: boolean;
  /** Milliseconds from room to the last end. */
  finished: number;
}

function report(
  figures: Figures,
  where: string,
  { retries, failed, completed, completedEarly, finished }: Filled,
  count: number,
) {
  figures.is(`${where}: completed meanwhile`, completedEarly, 0);
  figures.is(`${where}: counted as failures`, retries + failed, 0);
  figures.is(`${where}: completed once there is room`, completed, count);
  figures.within(`${where}: last one after there is room`, finished, 20_000);
}

/** Runs tasks that need room on a disk that is full, until it is not. */
async function fillDisk(server: Server, { count, timeout, own, root }: Filling): Promise<Filled> {
  await using disk = await smallDisk();
  const database = own ? "own" : "handlers";
  const admin = postgres(server.url, { max: 1, onnotice() {} });
  await admin`CREATE DATABASE ${admin(database)}`;
  await admin.unsafe(`CREATE TABLESPACE small_${database} LOCATION '${disk.path}'`);
  await admin.end();
  const url = server.url.replace(/postgres$/, database);
  await using ff = new Firefly({ database: url });
  await ff.migrate();
  const db = { url, sql: postgres(url, { max: 2, onnotice() {} }) };
  const small = db.sql(`small_${database}`);
  try {
    await db.sql`CREATE TABLE effect (task_id bigint, bulk text) TABLESPACE ${small}`;
    await db.sql`CREATE TABLE ballast (bulk text) TABLESPACE ${small}`;
    for (const table of ["effect", "ballast"]) {
      await db.sql`ALTER TABLE ${db.sql(table)} ALTER COLUMN bulk SET STORAGE EXTERNAL`;
    }
    if (own) await db.sql`ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE ${small}`;
    await using consumer = startConsumerOf(db, { args: ["--poll-interval", "500ms"], ...(root ? { root } : {}) });
    await consumersLive(db, 1);
    const name = own ? "data.grow" : "data.fill";
    await schedulePaused(db.sql, { name, count });
    await fillUp(db.sql);
    await db.sql`DELETE FROM firefly.queue`;
    await new Promise((resolve) => setTimeout(resolve, timeout * 1000));
    const { completed: completedEarly = 0 } = await statusesOf(db, name);
    const told = () => consumer.log.some((line) => line.includes("No space left on device"));
    await until(async () => own ? told() : await metBy(db.sql) >= count, 30_000);
    await db.sql`DROP TABLE ballast`;
    const room = performance.now();
    const { completed = 0, failed = 0 } = await allEnded(db, name, 90_000);
    const finished = performance.now() - room;
    const [row] = await db.sql`SELECT sum(retry_attempts)::int AS retries FROM firefly.task_record`;
    const met = await metBy(db.sql);
    return { completedEarly, completed, failed, retries: row!.retries, met, told: told(), finished };
  } finally {
    await db.sql.end({ timeout: 1 });
  }
}

/** How many attempts have failed, by the histories of the records. */
async function metBy(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`SELECT sum(jsonb_array_length(errors))::int AS met FROM firefly.task_record`;
  return row!.met;
}

/** Tasks that nobody claims yet; each needs 64 KB. */
async function schedulePaused(sql: postgres.Sql, { name, count }: { name: string; count: number }) {
  const argument = name === "data.grow" ? 64 * 1024 : 64;
  await sql`INSERT INTO firefly.queue (name, paused) VALUES ('default', true)`;
  await sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT ${name}, firefly.encode(jsonb_build_array(${argument}::int)) FROM generate_series(1, ${count})
  `;
}

/** Fills the tablespace to its last page. */
async function fillUp(sql: postgres.Sql): Promise<void> {
  for (const kilobytes of [1024, 64, 1]) {
    for (let full = false; !full;) {
      try {
        await sql`
          INSERT INTO ballast SELECT string_agg(md5(random()::text), '') FROM generate_series(1, ${kilobytes * 32}::int)
        `;
      } catch (error) {
        if ((error as { code?: string }).code !== "53100") throw error;
        full = true;
      }
    }
  }
}

/** A file system of 12 MB that the server may write to. It is unmounted at the end, whatever comes. */
async function smallDisk(): Promise<AsyncDisposable & { path: string }> {
  const path = await realpath(await mkdtemp("/tmp/firefly_disk_"));
  await run("mount", ["-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", path]);
  const disk = {
    path,
    async [Symbol.asyncDispose]() {
      // Lazily: the server, which ends after this, may still have files open.
      await run("umount", ["--lazy", path]);
      await rmdir(path);
    },
  };
  try {
    const user = serverUser();
    if (user) await chown(path, user.uid, user.gid);
    return disk;
  } catch (error) {
    await disk[Symbol.asyncDispose]();
    throw error;
  }
}
