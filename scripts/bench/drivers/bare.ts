import postgres from "postgres";
import { Firefly } from "../../../mod.ts";
import { type Driver, numberOf, type Payload, type Setup } from "./driver.ts";

/**
 * What is written by hand: an INSERT of one row into a table with the columns and the primary key of Firefly's, without
 * its trigger and its checks, and a loop that claims, runs and completes one task in one transaction.
 */
export function openDriver({ url, effects, config }: Setup): Driver {
  const sql = postgres(url, { max: numberOf(config, "connections"), onnotice() {} });
  return {
    async install() {
      await using ff = new Firefly({ database: url });
      await ff.migrate();
      await sql.unsafe(`
        CREATE TABLE bare (LIKE firefly.task INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id));
        CREATE TABLE effect (i integer NOT NULL, at timestamptz NOT NULL DEFAULT now());
      `);
      if (!effects) return;
      await sql`CREATE INDEX bare_order ON bare (queue, priority DESC, not_before, id) WHERE status = 'created'`;
    },
    producer: () =>
      Promise.resolve({
        one: (payload) =>
          sql`
            INSERT INTO bare (func_name, queue, params)
            VALUES ('bench.noop', 'default', ${encode(payload)})
            RETURNING id
          `.then(),
        many: (payloads) =>
          sql`
            INSERT INTO bare (func_name, queue, params)
            SELECT 'bench.noop', 'default', params
            FROM unnest(${payloads.map(encode)}::text[]) AS new (params)
          `.then(),
      }),
    consumer(onTask) {
      for (let i = 0; i < numberOf(config, "connections"); i++) void loop(sql, onTask);
      return Promise.resolve();
    },
    async remaining() {
      const [row] = await sql`SELECT count(*)::integer AS remaining FROM bare WHERE status = 'created'`;
      return row!.remaining;
    },
  };
}

async function loop(sql: postgres.Sql, onTask: (payload: Payload) => void | Promise<void>): Promise<void> {
  for (;;) {
    const found = await sql.begin(async (tx) => {
      const [job] = await tx`
        SELECT id, params
        FROM bare
        WHERE queue = 'default' AND status = 'created' AND not_before <= now()
        ORDER BY priority DESC, not_before, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
      `;
      if (!job) return false;
      const [payload] = JSON.parse(atob(job.params)) as [Payload];
      await tx`INSERT INTO effect (i) VALUES (${payload.i})`;
      await onTask(payload);
      await tx`UPDATE bare SET status = 'completed', completed = now(), returned = 'bnVsbA==' WHERE id = ${job.id}`;
      return true;
    });
    if (!found) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** As Firefly stores arguments: the Base64 of a list. */
function encode(payload: Payload): string {
  return btoa(JSON.stringify([payload]));
}
