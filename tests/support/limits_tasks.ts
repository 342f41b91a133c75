import { current, task } from "../../mod.ts";

/** Notes when it ran, by the database's clock. */
export const serial = task({ name: "limits.serial", concurrency: { limit: 1 } }, async (n: number) => {
  const { sql } = current();
  await sql`INSERT INTO run (n, began) VALUES (${n}, clock_timestamp())`;
  await new Promise((resolve) => setTimeout(resolve, n % 4));
  await sql`UPDATE run SET ended = clock_timestamp() WHERE n = ${n}`;
});
