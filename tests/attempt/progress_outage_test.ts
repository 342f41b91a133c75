import { assertEquals } from "@std/assert";
import { current, Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

Deno.test("progress() does not fail a task without retries when the connection is lost under the report", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  let cuts = 0;
  const name = taskName();
  const work = task({ name, maxRetries: 0 }, async () => {
    proxy.onRequest = (text) => {
      if (cuts > 0 || !text.includes("halfway")) return;
      cuts++;
      proxy.cut({ reset: true });
    };
    await current().progress(0.5, "halfway");
    return "done";
  });
  await using ff = new Firefly({ database: proxy.through(db.url) });
  const { id } = await ff.run(() => work.schedule());
  await ff.consume({ tasks: [work], drain: true }).finished;
  const { status, errors } = await ff.tasks.get(id);
  assertEquals([cuts, status, errors], [1, "completed", []]);
});
