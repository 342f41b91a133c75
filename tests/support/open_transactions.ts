import type postgres from "postgres";
import type { TestDatabase } from "./database.ts";
import { lockWait } from "./statements.ts";

/** Runs `inside` in a transaction of `sql` that stays open until `meanwhile` has run. */
export async function whileOpen<T>(
  sql: postgres.Sql,
  inside: (sql: postgres.TransactionSql) => Promise<unknown>,
  meanwhile: () => Promise<T>,
): Promise<T> {
  let result: T | undefined;
  await sql.begin(async (open) => {
    await inside(open);
    result = await meanwhile();
  });
  return result!;
}

/** Starts `act`; resolves once it waits for a lock, or is done. */
export async function untilHeldUp(db: TestDatabase, act: () => Promise<unknown>): Promise<{ done: Promise<unknown> }> {
  const done = act();
  await Promise.race([done, lockWait(db)]);
  return { done };
}
