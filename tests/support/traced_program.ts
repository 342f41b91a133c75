/**
 * Schedules a task with a step and a sleep, runs it, and ends. It imports nothing of OpenTelemetry: Deno exports its spans with OTEL_DENO=true, and
 * other runtimes if an SDK was loaded before.
 *
 * @module
 */
import process from "node:process";
import { current, Firefly, task } from "../../mod.ts";

const hello = task("test.traced", async (name: string) => {
  const { log, step } = current();
  await step("greet", async () => {
    log.info("hello");
    await current().sql`SELECT ${name}::text`;
  });
  await step.sleep(0.1);
});

const ff = new Firefly({ database: process.env.FIREFLY_TEST_DATABASE! });
ff.on("log", ({ traceId }) => console.log(traceId));
await ff.run(() => hello.schedule("world"));
await ff.consume({ tasks: [hello], maxTasks: 2 }).finished;
await ff.close();
