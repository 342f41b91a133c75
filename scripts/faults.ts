import { parseArgs } from "@std/cli/parse-args";
import { FAULTS } from "../tests/faults/all.ts";
import { type Fault, Figures, missingFor } from "../tests/faults/fault.ts";
import { markdownTable } from "./markdown_table.ts";

const HELP = `Causes every fault that Firefly survives, and prints a table of the results.

Usage: deno task faults [--only 1,8] [--short] [--write docs/reports/reliability.md]

  --only    the numbers of the faults to run
  --short   shorter versions, as the tests run them
  --write   writes the table into a file, between its lines <!-- faults --> and <!-- /faults -->

It exits with 1 if a bound was exceeded, or a fault could not run. It takes about 15 minutes.`;

/** One row of the table. */
interface Row {
  readonly fault: string;
  readonly figure: string;
  readonly value: string;
  readonly bound: string;
  readonly pass: boolean;
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { boolean: ["help", "short"], string: ["only", "write"] });
  if (args.help) console.log(HELP);
  else Deno.exitCode = await main(args.only?.split(",").map(Number), args.short ? "short" : "full", args.write);
}

async function main(only: number[] | undefined, scale: "short" | "full", file: string | undefined): Promise<number> {
  const rows: Row[] = [];
  const started = performance.now();
  for (const fault of FAULTS.filter(({ number }) => !only || only.includes(number))) {
    const found = await runFault(fault, scale);
    rows.push(...found);
    for (const row of found) {
      console.error(`  ${row.pass ? "pass" : "FAIL"}  ${row.figure}: ${row.value} (${row.bound})`);
    }
  }
  const table = render(rows);
  console.log(table);
  const failed = rows.filter(({ pass }) => !pass).length;
  const seconds = Math.round((performance.now() - started) / 1000);
  console.error(`${rows.length - failed} of ${rows.length} bounds kept, in ${seconds} s`);
  if (file) await write(file, table);
  return failed === 0 && rows.length > 0 ? 0 : 1;
}

/** Runs a fault and its control; an error counts as an exceeded bound. */
async function runFault(fault: Fault, scale: "short" | "full"): Promise<Row[]> {
  const name = `${fault.number}. ${fault.title}`;
  console.error(name);
  const missing = await missingFor(fault);
  if (missing) return [{ fault: name, figure: "not run", value: `needs ${missing}`, bound: "run", pass: false }];
  const rows = await measure(name, "", (figures) => fault.run(figures, scale));
  if (fault.control) rows.push(...await measure(name, "control: ", (figures) => fault.control!(figures, scale)));
  return rows;
}

async function measure(fault: string, prefix: string, run: (figures: Figures) => Promise<void>): Promise<Row[]> {
  const figures = new Figures();
  let failure: Row[] = [];
  try {
    await run(figures);
  } catch (error) {
    const [message] = String(error).split("\n");
    failure = [{ fault, figure: `${prefix}ended`, value: message!, bound: "without an error", pass: false }];
  }
  const rows = figures.list.map(({ name, ...rest }) => ({ fault, figure: prefix + name, ...rest }));
  if (rows.length + failure.length === 0) throw new Error(`Fault "${fault}" measured nothing`);
  return [...rows, ...failure];
}

function render(rows: Row[]): string {
  const cells = rows.map(({ fault, figure, value, bound, pass }, i) => {
    const isFirst = rows[i - 1]?.fault !== fault;
    return [isFirst ? fault : "", figure, value, bound, pass ? "yes" : "**no**"];
  });
  return markdownTable(["Fault", "Figure", "Measured", "Bound", "Kept"], cells).join("\n");
}

async function write(file: string, table: string): Promise<void> {
  const text = await Deno.readTextFile(file);
  const between = /(?<=<!-- faults -->\n)[^]*?(?=\n<!-- \/faults -->)/;
  if (!between.test(text)) {
    throw new Error(`Cannot write the table as ${file} has no lines <!-- faults --> and <!-- /faults -->`);
  }
  await Deno.writeTextFile(file, text.replace(between, () => `\n${table}\n`));
}
