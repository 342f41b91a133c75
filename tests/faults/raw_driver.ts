import postgres from "postgres";

/**
 * What the driver's own transactions do when their backends are terminated: as a user would write them, without
 * Firefly. Prints `begin` and `end` of each, so that whoever started this sees those that hung.
 */
const sql = postgres(Deno.args[0]!, { max: 4, onnotice() {}, connection: { application_name: "firefly" } });

async function work(i: number): Promise<void> {
  for (let n = 0; performance.now() < Number(Deno.args[1]); n++) {
    console.log("begin", `${i}.${n}`);
    await sql.begin(async (tx) => {
      await tx`SELECT ${n}::int`;
      await Promise.all([tx`SELECT pg_sleep(0.002)`, tx.unsafe(`SELECT $1::int AS n${n % 50}`, [n])]);
    }).catch(() => {});
    console.log("end", `${i}.${n}`);
  }
}
await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(work));
