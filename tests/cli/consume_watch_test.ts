import { assertEquals, assertMatch } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { PACKAGE, scheduleIn, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

/** A module whose task returns `answer`, unless it is to wait until it is aborted. */
const answering = (answer: string) => `
  import { current, task } from ${JSON.stringify(PACKAGE)};
  import { answer } from "./lib/answer.ts";

  export const ask = task({ name: "ask", retryDelay: 0 }, async (waits: boolean) => {
    if (waits && answer === "old") await new Promise(() => setInterval(() => {}, 1000));
    return answer + current().attempt + ${JSON.stringify(answer)};
  });
`;

Deno.test("consume --watch starts again when a module changes, and hands running tasks back uncounted", async () => {
  await using db = await testDatabase();
  const files = { "tasks.ts": answering("!"), "lib/answer.ts": `export const answer = "old";` };
  await using project = await testProject({ database: db.url, files });
  const id = await scheduleIn(db, "ask", [true]);
  await using consumer = project.start("consume", "--watch", "--verbose");
  await consumer.said(`"started"`);

  await Deno.writeTextFile(`${project.directory}/notes.txt`, "no code");
  await Deno.writeTextFile(`${project.directory}/lib/answer.ts`, `export const answer = "new";`);

  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 1);
  const [row] = await db.sql`
    SELECT firefly.decode(returned) AS returned, 
      COALESCE(rescues, 0) AS rescues, COALESCE(jsonb_array_length(errors), 0) AS errors
    FROM firefly.task WHERE id = ${id}
  `;
  assertEquals({ ...row }, { returned: "new1!", rescues: 0, errors: 0 });
  assertMatch(await consumer.said(`"changed"`), /lib\/answer\.ts/);

  await Deno.writeTextFile(`${project.directory}/tasks.ts`, `export const broken = ;`);
  await consumer.said("waiting for a change");
  await Deno.writeTextFile(`${project.directory}/tasks.ts`, answering("?"));
  await scheduleIn(db, "ask", [false]);
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 2);
  consumer.kill("SIGTERM");
  const { code } = await consumer.ended();
  assertEquals([code, (await db.sql`SELECT FROM firefly.consumer`).length], [0, 0]);
});
