import { testDatabase } from "../support/database.ts";
import type { Fault } from "./fault.ts";
import { allEnded, startConsumerOf } from "./consumers.ts";

/** What a hand may make of `params`: none of it is a list of arguments in the wire format. */
const BROKEN: Record<string, string> = {
  "no Base64": "%%% no Base64 %%%",
  "Base64 cut short": btoa("[1,2,3]").slice(0, -1),
  "no JSON": btoa("[1,"),
  "nothing": "",
  "no UTF-8": btoa('["\xff\xfe"]'),
  "deep nesting": btoa("[".repeat(100_000) + "]".repeat(100_000)),
  "an unknown tag": btoa('[{"$":"Nope","v":1}]'),
  "a tag without its value": btoa('[{"$":"Date"}]'),
  "a reference to nothing": btoa('{"$":"Graph","root":[{"$":"Ref","v":7}],"refs":[]}'),
  "no list": btoa('{"a":1}'),
};

/** Words of an error that tells a reader what is wrong, and where the matter is in the wire format. */
const READABLE = /^Cannot [^]{10,500}$/;

/** Fault 12: a record that somebody broke fails by itself, readably, and nothing else does. */
export const handEditedRows: Fault = {
  number: 12,
  title: "params edited by hand: bad Base64, JSON, UTF-8, nesting, tags",
  async run(figures, scale) {
    await using db = await testDatabase();
    const times = scale === "full" ? 100 : 5;
    const broken = Object.values(BROKEN);
    // Broken and whole ones by turns, so that each claim brings both.
    await db.sql`
      INSERT INTO firefly.task (func_name, params)
      SELECT name, firefly.encode('[1]')
      FROM generate_series(1, ${times * broken.length}), unnest(ARRAY['data.echo', 'data.measure']) AS name
    `;
    await db.sql`
      UPDATE firefly.task
      SET params = (${broken}::text[])[(id / 2) % ${broken.length}::int + 1]
      WHERE func_name = 'data.measure'
    `;
    await using consumer = startConsumerOf(db);
    const bad = await allEnded(db, "data.measure");
    const good = await allEnded(db, "data.echo");
    const rows = await db.sql<{ errors: { name: string; message: string }[]; claims: string }[]>`
      SELECT errors, claim_seq - COALESCE(snoozes, 0) AS claims FROM firefly.task WHERE func_name = 'data.measure'
    `;
    await db.sql`INSERT INTO firefly.task (func_name, params) VALUES ('data.linger', firefly.encode('[0]'))`;
    const { completed } = await allEnded(db, "data.linger");
    consumer.kill("SIGTERM");

    figures.is("broken tasks that failed", bad.failed ?? 0, times * broken.length);
    figures.is("intact tasks that completed", good.completed ?? 0, times * broken.length);
    figures.is("attempts at a broken task, most", Math.max(...rows.map(({ claims }) => Number(claims))), 1);
    figures.is(
      "errors that name the problem",
      rows.filter(({ errors }) => {
        return errors.length === 1 && READABLE.test(errors[0]!.message);
      }).length,
      rows.length,
    );
    figures.is("completed after all of them", completed ?? 0, 1);
    figures.is("exit code of the consumer", await consumer.exited, 0);
  },
};
