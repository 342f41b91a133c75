import postgres from "postgres";
import { current, Firefly, task } from "../../../mod.ts";
import { type Driver, type Handler, numberOf, type Payload, type Setup } from "./driver.ts";

let handler: Handler = () => {};

const noop = task("bench.noop", (payload: Payload) => handler(payload));

const effect = task("bench.effect", async (payload: Payload) => {
  await current().sql`INSERT INTO effect (i) VALUES (${payload.i})`;
  return handler(payload);
});

/** Firefly as it comes; with the setting `silent`, its trigger does all that it does, but rings nobody. */
export function openDriver({ url, effects, config }: Setup): Driver {
  const ff = new Firefly({ database: url, statistics: config.statistics !== false });
  const scheduled = effects ? effect : noop;
  let sql: postgres.Sql | undefined;
  const ask = () => sql ??= postgres(url, { max: 1, onnotice() {}, fetch_types: false });
  return {
    async install() {
      await ff.migrate();
      await ask().unsafe("CREATE TABLE effect (i integer NOT NULL, at timestamptz NOT NULL DEFAULT now())");
      if (config.silent) await ask().unsafe(SILENT);
    },
    producer: () =>
      Promise.resolve({
        one: (payload) => ff.run(() => scheduled.schedule(payload)),
        many: (payloads) => ff.run(() => scheduled.scheduleMany(payloads.map((payload) => [payload]))),
        result: (payload) => ff.run(() => scheduled.schedule(payload).result()),
      }),
    async consumer(onTask) {
      handler = onTask;
      const concurrency = numberOf(config, effects ? "effectsConcurrency" : "concurrency");
      await ff.consume({ tasks: [scheduled], concurrency }).ready;
    },
    async remaining() {
      // Whatever has not ended stands in `ready` or in a lease; a lease counts once for all of its tasks.
      const [row] = await ask()`
        SELECT (SELECT count(*) FROM firefly.ready) + (SELECT count(*) FROM firefly.claim_batch) AS remaining
      `;
      return Number(row!.remaining);
    },
  };
}

const SILENT = `
  CREATE OR REPLACE FUNCTION firefly._notify(queue text) RETURNS void
  LANGUAGE plpgsql AS $body$
  BEGIN
    RETURN;
  END
  $body$`;
