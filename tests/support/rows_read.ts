import type postgres from "postgres";
import type { Tag } from "../../src/database/driver.ts";
import { tagOfClient } from "./dependencies.ts";

/** How many rows of Firefly's tables `act` reads, by a client that has one connection; those that it skips are among them. */
export async function rowsRead(
  client: postgres.Sql,
  act: (sql: Tag) => Promise<unknown>,
): Promise<Map<string, number>> {
  return await client.begin(async (sql) => {
    // The counts of the session's earlier transactions are among them until it reports these.
    const count = async () => {
      const rows = await sql<{ name: string; read: number }[]>`
        SELECT relname AS name, (COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0))::int AS read
        FROM pg_stat_xact_user_tables WHERE schemaname = 'firefly'
      `;
      return new Map(rows.map(({ name, read }) => [name, read]));
    };
    const before = await count();
    await act(tagOfClient(sql));
    const after = await count();
    return new Map([...after].map(([name, read]) => [name, read - (before.get(name) ?? 0)]));
  });
}
