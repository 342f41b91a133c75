import type { Firefly } from "../../mod.ts";
import { readFailure, readOutcomes, readTiming, readTotals, type Totals } from "./database.ts";
import type { FoundFile } from "./files.ts";
import { compare, recount } from "./recount.ts";
import { amount, bad, count, detail, good, print, step, strong } from "./screen.ts";
import type { Measure } from "./tasks.ts";

/** Tells how fast the tasks of the files ran. */
export async function tellTiming(ff: Firefly): Promise<void> {
  const { tasks, triedOnceIn, endedIn, retried, waitP50, waitP99 } = await readTiming(ff);
  detail(
    `${amount(tasks, "task")} tried once in ${triedOnceIn.toFixed(2)} s, ${
      rate(tasks, triedOnceIn)
    }: each reads a file, and`,
  );
  detail("for a text counts, hashes, and writes a row in a transaction of its own");
  if (retried > 0) detail(`${amount(retried, "task")} tried again after 1 s; all ended in ${endedIn.toFixed(2)} s`);
  if (waitP50 === null || waitP99 === null) return;
  detail(
    `Time in the queue p50 ${milliseconds(waitP50 * 1000)}, p99 ${
      milliseconds(waitP99 * 1000)
    }, which says how long the queue was:`,
  );
  detail("all were scheduled at once, before the consumer was up");
}

/** Tells how long single tasks took, in milliseconds. */
export function tellLatency({ starts, results }: { starts: number[]; results: number[] }): void {
  for (const [name, times] of Object.entries({ "schedule to start ": starts, "schedule to result": results })) {
    const sorted = times.toSorted((a, b) => a - b);
    const [p50, p99] = [0.5, 0.99].map((share) => milliseconds(sorted[Math.ceil(share * sorted.length) - 1]!));
    detail(`${name}  p50 ${p50}, p99 ${p99}`);
  }
}

/** Counts everything once more, by other code, and says whether the tasks came to the same. */
export async function check(ff: Firefly, files: FoundFile[]): Promise<boolean> {
  const counted = await recount(files);
  const { differences, changed } = await compare(files, await readOutcomes(ff), counted);
  for (const path of changed) counted.delete(path);
  const totals = await readTotals(ff, changed);
  step("Check", "totals by plain SQL, and recounted by other code in this process");
  const problems = [...tellTotals(totals, [...counted.values()]), ...differences];
  if (totals.triedTwice !== totals.failed) problems.push("not every failed task was tried twice");
  if (totals.unlike > 0) problems.push(`${amount(totals.unlike, "row")} unlike what the task returned`);
  if (changed.length > 0) detail(`Left out ${amount(changed.length, "file")} that changed meanwhile`);
  for (const problem of problems.slice(0, 10)) detail(bad(problem));
  if (problems.length === 0) detail(good("Right, file by file and hash by hash"));
  else detail(bad(`Wrong: ${amount(problems.length, "difference")}`));
  return problems.length === 0;
}

/** Prints both counts side by side; returns in what they differ. */
function tellTotals(totals: Totals, counted: (Measure | undefined)[]): string[] {
  const texts = counted.filter((measure) => measure !== undefined);
  const sum = (key: "bytes" | "lines" | "words") => texts.reduce((sum, measure) => sum + measure[key], 0);
  const rows: [name: string, stored: number, recounted: number][] = [
    ["texts", totals.texts, texts.length],
    ["lines", totals.lines, sum("lines")],
    ["words", totals.words, sum("words")],
    ["bytes", totals.bytes, sum("bytes")],
    ["failed", totals.failed, counted.length - texts.length],
  ];
  detail(`${" ".repeat(6)}${"SQL".padStart(15)}${"recount".padStart(15)}`);
  for (const [name, stored, recounted] of rows) {
    detail(`${name.padEnd(6)}${count(stored).padStart(15)}${count(recounted).padStart(15)}`);
  }
  return rows.filter(([, stored, recounted]) => stored !== recounted).map(([name]) => `the totals of ${name} differ`);
}

/** Tells how to go on by hand. */
export async function lookAround(ff: Firefly, { embedded }: { embedded: boolean }): Promise<void> {
  const failure = await readFailure(ff);
  const deno = Deno.env.get("npm_command") === "exec" ? "npx -y deno@2.9" : "deno";
  const psql = `psql "$(${deno} run -A cli.ts db url)" -c`;
  print(
    `\n${strong("Look around")} in this repository with psql, if it is installed, and with Firefly's command line:\n`,
  );
  print(`  ${psql} "select status, count(*) from firefly.task where queue = 'demo' group by status"`);
  print(`  ${psql} "select * from firefly_demo_data.demo_file order by words desc limit 10"`);
  print(`  ${deno} run -A cli.ts list --queue demo --limit 20`);
  if (failure) print(`  ${deno} run -A cli.ts show ${failure.id}  # ${failure.error}`);
  if (embedded) print(`\nThe database goes on until: ${deno} run -A cli.ts db stop`);
}

/** A speed for people. */
export function rate(tasks: number, seconds: number): string {
  return `${count(tasks / Math.max(seconds, 0.001))} tasks/s`;
}

function milliseconds(value: number): string {
  return `${value < 100 ? value.toFixed(1) : count(value)} ms`;
}
