import type { ConnectionSettings } from "../database/settings.ts";
import { Session } from "../database/session.ts";
import { FireflyError } from "../errors.ts";
import { readUpkeep, type TableUpkeep, vacuumText } from "../store/vacuum.ts";

/** A table that was vacuumed. */
export interface VacuumedTable {
  readonly table: string;
  readonly seconds: number;
  readonly deadBefore: number;
  /** Those that a transaction may still see: doctor says which. */
  readonly deadAfter: number;
  readonly bytes: number;
}

/** Options of {@linkcode vacuumTables}. */
export interface VacuumOptions {
  /** The tables, in this order; default: all, those with the most dead rows first. */
  readonly tables?: readonly string[];
  /** Called before each table, with its place among them. */
  readonly onTable?: (table: string, at: { index: number; count: number }) => void;
}

/**
 * Vacuums and analyzes tables of the schema, and gives each when it is done. Tasks run meanwhile.
 *
 * @throws {FireflyError} If there is no such table, or if this role does not own the tables.
 */
export async function* vacuumTables(
  settings: ConnectionSettings,
  schema: string,
  { tables, onTable = () => {} }: VacuumOptions = {},
): AsyncGenerator<VacuumedTable> {
  const session = new Session(settings);
  const sql = session.tag(schema);
  try {
    const chosen = choose(await readUpkeep(sql), schema, tables);
    // A large table takes longer than any limit that suits queries.
    await session.run((client) => client`SELECT set_config('statement_timeout', '0', false)`);
    for (const [index, { table, dead }] of chosen.entries()) {
      onTable(table, { index, count: chosen.length });
      const began = performance.now();
      await session.run((client) => client.unsafe(vacuumText(schema, table)));
      const seconds = (performance.now() - began) / 1000;
      const after = (await readUpkeep(sql)).find((upkeep) => upkeep.table === table);
      yield { table, seconds, deadBefore: dead, deadAfter: after?.dead ?? 0, bytes: after?.bytes ?? 0 };
    }
  } finally {
    session.discard();
  }
}

function choose(all: TableUpkeep[], schema: string, tables: readonly string[] | undefined): TableUpkeep[] {
  if (all.length === 0) throw new FireflyError(`Cannot vacuum as there are no tables in schema "${schema}"`);
  const chosen = tables?.map((name) => {
    const found = all.find(({ table }) => table === name);
    if (found) return found;
    const names = all.map(({ table }) => table).sort().join(", ");
    throw new FireflyError(`Cannot vacuum as schema "${schema}" has no table "${name}", only ${names}`);
  }) ?? all;
  const denied = chosen.find(({ may }) => !may);
  if (!denied) return chosen;
  throw new FireflyError(
    `Cannot vacuum as this user does not own "${denied.table}": run it as the owner, who ran "migrate"`,
  );
}
