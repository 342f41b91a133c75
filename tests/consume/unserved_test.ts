import { assertEquals } from "@std/assert";
import { type Events, Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

type Unserved = Omit<Events["consumer.unserved"], "consumerId">;

function unservedOf(ff: Firefly): Unserved[] {
  const heard: Unserved[] = [];
  ff.on("consumer.unserved", ({ consumerId: _, ...unserved }) => heard.push(unserved));
  return heard;
}

Deno.test("consumer.unserved names the queues of own tasks that no live consumer serves", async () => {
  await using test = await testInstance();
  await using elsewhere = new Firefly({ database: test.db.url });
  const name = taskName();
  const [mail, sms, log, plain] = [
    task({ name, queue: "mail", aliases: [taskName()] }, () => {}),
    task({ name: "sms.send", queue: "sms" }, () => {}),
    task({ name: taskName(), queue: "log" }, () => {}),
    task(taskName(), () => {}),
  ];
  await using other = elsewhere.consume({ tasks: [log], queues: "log" });
  await other.ready;
  const heard = unservedOf(test.ff);

  await test.drain({ tasks: [mail, sms, log, plain], queues: "default" });

  assertEquals(heard, [{ queues: [{ queue: "mail", tasks: [name] }, { queue: "sms", tasks: ["sms.send"] }] }]);
});

Deno.test("consumer.unserved is not emitted by a consumer of all queues, or of those of its tasks", async () => {
  await using test = await testInstance();
  const mail = task({ name: taskName(), queue: "mail" }, () => {});
  const heard = unservedOf(test.ff);

  await test.drain({ tasks: [mail] });
  await test.drain({ tasks: [mail], queues: "*" });

  assertEquals(heard, []);
});

Deno.test("parked is emitted once for each name and queue", async () => {
  await using test = await testInstance();
  const known = task(taskName(), () => {});
  const heard: Events["parked"][] = [];
  test.ff.on("parked", (parked) => heard.push(parked));
  const unknown = (name: string, queue: string) =>
    test.db.sql`INSERT INTO firefly.task (func_name, queue) VALUES (${name}, ${queue}), (${name}, ${queue})`;
  const parked = async () => (await test.db.sql`SELECT FROM firefly.waiting WHERE reason = 'unknown'`).length;
  await unknown("gone.v1", "default");
  await using consumer = test.ff.consume({ tasks: [known], queues: ["default", "other"], lease: "1s" });
  await until(async () => await parked() === 2);
  await unknown("gone.v1", "default");
  await unknown("gone.v1", "other");
  await until(async () => await parked() === 6);
  await consumer.stop();

  assertEquals(heard, [
    { funcName: "gone.v1", queue: "default", count: 2 },
    { funcName: "gone.v1", queue: "other", count: 2 },
  ]);
});
