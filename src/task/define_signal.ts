import { currentInstance } from "./scope.ts";
import type { Payload, Signal, SignalOptions } from "./signal.ts";
import { checkStepName } from "./step_options.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/**
 * Defines a signal: a message with a payload that a task waits for by `step.waitFor()`. It is sent to one task, by its
 * id or its unique key, and kept until a step of the task receives it: it may be sent before the task waits for it. The
 * type of the payload is `T`, or what the schema `input` returns; without either, there is none.
 *
 * @throws {TypeError} If the name is not valid, or an option is unknown.
 *
 * @example
 * ```ts
 * import { current, signal, task } from "@firefly/tasks";
 * import { testFirefly } from "@firefly/tasks/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using ff = await testFirefly();
 *
 * const approved = signal<{ by: string }>("docs.approved");
 *
 * const order = task("docs.signal", async (id: number) => {
 *   const { by } = await current().step.waitFor(approved, { timeout: "7d" });
 *   return `order ${id} was approved by ${by}`;
 * });
 *
 * const { id } = await order.schedule(7);
 * assertEquals(await approved.send(id, { by: "Ada" }), true);
 * ```
 */
export function signal<T = void>(spec: string | SignalOptions<T>): Signal<T> {
  const options = typeof spec === "string" ? { name: spec } : spec;
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Cannot define a signal as its name must be text: signal(name), or signal({ name, input })");
  }
  const { name, input } = options as SignalOptions<T>;
  const action = `define signal ${JSON.stringify(name)}`;
  refuseUnknownKeys(options, ["name", "input"], action);
  checkStepName(name, action, "signal");
  const standard = (input as { "~standard"?: { version?: unknown; validate?: unknown } } | null | undefined)
    ?.["~standard"];
  if (input !== undefined && (standard?.version !== 1 || typeof standard.validate !== "function")) {
    throw new TypeError(
      `Cannot ${action} as "input" must be a schema of zod, valibot, arktype or another library with Standard Schema`,
    );
  }
  const defined: Signal<T> = {
    name,
    input,
    send: (id: number, ...payload: Payload<T>) => currentInstance().tasks.signal(id, defined, ...payload),
  };
  return defined;
}
