import { assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** Finds a program of PostgreSQL that is as new as the server; undefined where there is none, as beside the embedded one. */
async function findProgram(name: string, { sql }: TestDatabase): Promise<string | undefined> {
  const [row] = await sql`SELECT current_setting('server_version_num')::integer / 10000 AS major`;
  for (const path of [`/usr/lib/postgresql/${row!.major}/bin/${name}`, `/usr/bin/${name}`]) {
    const output = await run(path, ["--version"]).catch(() => "");
    if (Number(/(\d+)/.exec(output)?.[1] ?? 0) >= row!.major) return path;
  }
}

async function run(path: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(path, { args }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("a dump that is taken while tasks wait and run holds all of them, and they run once it is restored", async (t) => {
  await using db = await testDatabase();
  const [dump, restore] = await Promise.all(["pg_dump", "pg_restore"].map((name) => findProgram(name, db)));
  await t.step({
    name: "pg_dump and pg_restore",
    ignore: !dump || !restore,
    async fn() {
      await using restored = await testDatabase({ migrated: false });
      const runs = task({ name: taskName() }, () => "done");
      const { funcName: func_name } = runs;
      const claimed = await insertTask(db, { func_name });
      const held = await claim(db, { consumerId: await startConsumer(db), names: [func_name] });
      assertEquals(held.tasks.map(({ id }) => id), [claimed]);
      const [ready, delayed] = [
        await insertTask(db, { func_name }),
        await insertTask(db, { func_name, not_before: new Date(Date.now() + 86_400_000) }),
      ];
      const directory = await Deno.makeTempDir();

      await run(dump!, ["--format=custom", `--file=${directory}/app.dump`, db.url]);
      await run(restore!, ["--no-owner", `--dbname=${restored.url}`, `${directory}/app.dump`]);
      await Deno.remove(directory, { recursive: true });

      // The consumer that held a task is gone: its lease ends in the restored database, too.
      await restored.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 second'`;
      await using ff = new Firefly({ database: restored.url });
      const later = await ff.run(() => runs.schedule());
      await using consumer = ff.consume({ tasks: [runs], lease: "3s" });
      await consumer.ready;
      const statuses = async () =>
        Object.fromEntries(
          (await restored.sql`SELECT id, status FROM firefly.task`).map(({ id, status }) => [Number(id), status]),
        );
      await until(async () => Object.values(await statuses()).filter((status) => status === "created").length === 1);

      assertEquals(await statuses(), {
        [claimed]: "completed",
        [ready]: "completed",
        [delayed]: "created",
        [later.id]: "completed",
      });
      const rescues = await restored.sql`SELECT id FROM firefly.task WHERE rescues = 1`;
      assertEquals(rescues.map(({ id }) => Number(id)), [claimed]);
      const waiting = await restored.sql`SELECT id FROM firefly.waiting`;
      assertEquals(waiting.map(({ id }) => Number(id)), [delayed]);
    },
  });
});
