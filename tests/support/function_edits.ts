import type { TestDatabase } from "./database.ts";

/** A change to the code of a function of the database. */
export interface FunctionEdit {
  /** The function, in its schema. */
  readonly name: string;
  /** What stands in it, just once. */
  readonly find: string;
  readonly replace: string;
}

/**
 * Takes a protection away that is written in SQL, for a control run.
 *
 * @throws {Error} If the code to take away is not there any more, or more than once.
 */
export async function editFunction({ sql }: TestDatabase, { name, find, replace }: FunctionEdit): Promise<void> {
  const [row] = await sql`SELECT pg_get_functiondef(('firefly.' || ${name}::text)::regproc) AS definition`;
  const parts = row!.definition.split(find);
  if (parts.length !== 2) {
    throw new Error(`Cannot edit ${name}() as it has its code ${parts.length - 1} times: ${find}`);
  }
  await sql.unsafe(parts.join(replace));
}
