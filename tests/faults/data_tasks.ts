import { current, task } from "../../mod.ts";

/** Returns its argument. */
export const echo = task("data.echo", (value: unknown) => value);

/** Returns a text of so many characters. */
export const grow = task("data.grow", (length: number) => "x".repeat(length));

/** Takes a value of any size, and tells its size. */
export const measure = task("data.measure", (text: string) => text.length);

/** Writes a row of so many kilobytes, that compress badly, through the attempt's transaction. */
export const fill = task({ name: "data.fill", maxRetries: 0 }, async (kilobytes: number) => {
  const { sql, id } = current();
  await sql`
    INSERT INTO effect (task_id, bulk)
    SELECT ${id}, string_agg(md5(random()::text), '') FROM generate_series(1, ${kilobytes * 32}::int)
  `;
});

/** Runs for a while. */
export const linger = task("data.linger", (seconds: number) => new Promise((end) => setTimeout(end, seconds * 1000)));
