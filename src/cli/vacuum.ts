import { findDatabase } from "../firefly/connect.ts";
import { DEFAULT_SCHEMA } from "../firefly/options.ts";
import { type VacuumedTable, vacuumTables } from "../schema/vacuum.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { ProgressLine } from "./progress_line.ts";
import { readSettings } from "./settings.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatSeconds } from "../times.ts";

/** From how many dead rows that stay to say why. */
const MANY = 1000;

/** `vacuum`: removes dead rows of Firefly's tables. */
export const vacuum: Command = {
  name: "vacuum",
  usage: "[table…]",
  positionals: [0, Infinity],
  summary: "Remove the dead rows of Firefly's tables, where autovacuum is off or behind",
  details:
    "It runs VACUUM with ANALYZE on the tables named, or on all, those with the most dead rows first. Tasks run " +
    "meanwhile. Space becomes free for new rows; files do not become smaller.\n\n" +
    "Dead rows that an old transaction may still see stay: `doctor` names the transaction. Only the owner of the " +
    "tables, who ran `migrate`, may run it.",
  flags: {},
  examples: ["vacuum", "vacuum task ready"],
  async run(args, terminal) {
    const { options: { database, schema = DEFAULT_SCHEMA, onProgress } } = await readSettings({
      args,
      terminal,
      tasks: "none",
    });
    const settings = await findDatabase({ database, onProgress });
    const line = new ProgressLine(terminal);
    const done: VacuumedTable[] = [];
    const tables = args.positionals.length > 0 ? args.positionals : undefined;
    const onTable = (table: string, { index, count }: { index: number; count: number }) =>
      line.update(table, index / count);
    try {
      for await (const table of vacuumTables(settings, schema, { ...(tables && { tables }), onTable })) {
        if (terminal.json) await terminal.printJson(toJson(table));
        done.push(table);
      }
    } finally {
      line.end();
    }
    if (!terminal.json) await print(done, terminal);
    return EXIT.done;
  },
};

function toJson({ table, seconds, deadBefore, deadAfter, bytes }: VacuumedTable): Record<string, unknown> {
  return { table, seconds, dead_before: deadBefore, dead_after: deadAfter, bytes };
}

async function print(done: VacuumedTable[], terminal: Terminal): Promise<void> {
  await printTable(terminal, {
    header: ["table", "removed", "left", "took"],
    rows: done.map(({ table, deadBefore, deadAfter, seconds }) => [
      table,
      String(Math.max(0, deadBefore - deadAfter)),
      String(deadAfter),
      formatSeconds(seconds),
    ]),
    right: [1, 2, 3],
  });
  const held = done.filter(({ deadAfter }) => deadAfter >= MANY).map(({ table }) => table);
  if (held.length > 0) {
    terminal.note(`Transactions may still see rows of ${held.join(", ")}: firefly doctor names them`);
  }
}
