import { join } from "node:path";
import { findInstalled, OLDEST_MAJOR } from "../../../src/embedded/installed_binaries.ts";
import type { Metrics } from "../results.ts";
import { runCommand } from "../run_command.ts";
import type { Stage } from "../stage.ts";
import { type Consumers, startConsumer } from "./fleet.ts";

const PARAMS = btoa(JSON.stringify([{ i: 0, s: "hello-firefly-benchmark" }]));

/** Inserts rows, one at a time in each of `clients`, into a table with the columns of Firefly's and no trigger. */
export async function measureBareInserts(stage: Stage, clients: number): Promise<Metrics> {
  await stage.sql.unsafe(`
    CREATE TABLE bare (LIKE firefly.task INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id))
  `);
  return await pgbench(stage, { table: "bare", clients });
}

/** Inserts tasks in the same way into Firefly's own table, while a consumer is idle or busy. */
export async function measureTaskInserts(stage: Stage, consumers: Consumers): Promise<Metrics> {
  await startConsumer(stage, consumers);
  await stage.sleep(stage.sizes.rest);
  return await pgbench(stage, { table: "firefly.task", clients: stage.sizes.fleet });
}

async function pgbench(stage: Stage, { table, clients }: { table: string; clients: number }): Promise<Metrics> {
  const program = await findPgbench();
  const file = await Deno.makeTempFile({ suffix: ".sql" });
  try {
    const statement = `INSERT INTO ${table} (func_name, queue, params) VALUES ('bench.noop', 'default', '${PARAMS}')`;
    await Deno.writeTextFile(file, `${statement};\n`);
    const seconds = Math.max(1, Math.round(stage.sizes.seconds));
    const size = ["--client", String(clients), "--jobs", String(Math.min(2, clients)), "--time", String(seconds)];
    const args = ["--no-vacuum", "--protocol=prepared", "--file", file, ...size, stage.url];
    return await stage.account([], async () => {
      const text = await runCommand(program, args, { signal: stage.signal });
      const rate = Number(/^tps = ([\d.]+)/m.exec(text)![1]);
      return { count: rate * seconds, metrics: { rate } };
    });
  } finally {
    await Deno.remove(file);
  }
}

/** It comes with PostgreSQL's packages, and not with npm's binaries. */
async function findPgbench(): Promise<string> {
  const binaries = await findInstalled((major) => major >= OLDEST_MAJOR);
  if (!binaries) throw new Error("pgbench is not installed");
  // What stands on PATH may be links to a few of its programs.
  const program = join(await Deno.realPath(join(binaries.directory, "postgres")), "..", "pgbench");
  await Deno.stat(program).catch(() => {
    throw new Error("pgbench is not installed");
  });
  return program;
}
