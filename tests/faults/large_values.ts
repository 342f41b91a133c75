import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { recordOf } from "../support/records.ts";
import { allEnded, startConsumerOf } from "./consumers.ts";
import type { Fault } from "./fault.ts";

const MEGABYTE = 1024 * 1024;

const measure = task("data.measure", (text: string) => text.length);
const grow = task("data.grow", (length: number) => "x".repeat(length));

/** Fault 15: large values pass, and those over the limit are refused where they come from. */
export const largeValues: Fault = {
  number: 15,
  title: "10 MB of params, and params and results over the limit",
  async run(figures, scale) {
    await using db = await testDatabase();
    await using ff = new Firefly({ database: db.url });
    await db.sql`CREATE TABLE orders (n int)`;
    const times = scale === "full" ? 5 : 1;
    const text = "x".repeat(10 * MEGABYTE);
    let refusal: unknown;
    await ff.transaction(async (sql) => {
      await sql`INSERT INTO orders VALUES (1)`;
      for (let i = 0; i < times; i++) await measure.schedule(text);
      try {
        await measure.schedule(text + text);
      } catch (error) {
        refusal = error;
      }
      await sql`INSERT INTO orders VALUES (2)`;
    });
    const over = await ff.run(async () => await grow.schedule(20 * MEGABYTE));
    const within = await ff.run(async () => await grow.schedule(10 * MEGABYTE));
    // Encoding 20 MB blocks the event loop: on a slow machine for longer than the watchdog of a short lease lets it.
    await using _consumer = startConsumerOf(db, { lease: "30s" });
    const measured = await allEnded(db, "data.measure", 60_000);
    await allEnded(db, "data.grow", 60_000);
    const { status, errors, returned } = await recordOf(db, over.id);
    const [{ name, message }] = errors as [{ name: string; message: string }];

    figures.is("tasks with 10 MB of params that completed", measured.completed ?? 0, times);
    figures.is("params over the limit", (refusal as Error)?.name, "FireflyLimitError");
    figures.is("what the producer's transaction wrote before and after", (await db.sql`SELECT FROM orders`).count, 2);
    figures.is("a result of 10 MB", (await recordOf(db, within.id)).status as string, "completed");
    figures.is("a result over the limit", `${status}, ${returned}, ${name}`, "failed, null, FireflyLimitError");
    figures.is("its error names the limit", /16777216|16 MB|limit/.test(message), true);
  },
};
