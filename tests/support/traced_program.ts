/**
 * Schedules a task, runs it, and ends: with OTEL_DENO=true, Deno exports its spans. It imports nothing of OpenTelemetry.
 *
 * @module
 */
import { current, Firefly, task } from "../../mod.ts";

const hello = task("test.traced", async (name: string) => {
  current().log.info("hello");
  await current().sql`SELECT ${name}::text`;
});

const ff = new Firefly({ database: Deno.args[0]! });
ff.on("log", ({ traceId }) => console.log(traceId));
await ff.run(() => hello.schedule("world"));
await ff.consume({ tasks: [hello], maxTasks: 1 }).finished;
await ff.close();
