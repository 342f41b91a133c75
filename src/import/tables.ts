import { FireflyError } from "../errors.ts";
import type { FoundTable } from "../store/import/relations.ts";

/** What an error about the tables of another package says. */
interface Place {
  readonly source: string;
  readonly schema: string;
}

/**
 * Checks that the table of jobs is in this database, and that this role sees its rows.
 *
 * @throws {FireflyError} If not.
 */
export function checkTable(found: FoundTable, { source, schema }: Place): FoundTable {
  const { database, role, columns, isFiltered } = found;
  if (columns.length === 0) {
    throw new FireflyError(
      `Cannot import from ${source} as its tables are not in schema "${schema}" of database "${database}": ` +
        "name the schema, or use Firefly in the database of its jobs, as the move is one transaction",
    );
  }
  if (isFiltered) {
    throw new FireflyError(
      `Cannot import from ${source} as row-level security hides its jobs from role "${role}": ` +
        "connect as the owner of its tables",
    );
  }
  return found;
}

/**
 * Checks that the layout of the tables is known, and describes it.
 *
 * @throws {FireflyError} If it is not.
 */
export function checkVersion(
  version: number | undefined,
  { source, schema, first, last, names }: Place & { first: number; last: number; names: string },
): string {
  if (version !== undefined && version >= first && version <= last) return `schema ${version}`;
  const found = version === undefined ? "no version" : `version ${version}`;
  throw new FireflyError(
    `Cannot import from ${source} as schema "${schema}" has ${found}, and this release knows ${first} to ${last} ` +
      `(${names}): ${version === undefined || version < first ? `update ${source} first` : "update Firefly"}`,
  );
}
