import { assertEquals } from "@std/assert";
import { Firefly } from "../../mod.ts";
import { logEvents } from "../../src/cli/consumer_log.ts";
import { type Entry, Log } from "../../src/cli/log.ts";
import { describe, stackOf, Terminal } from "../../src/cli/terminal.ts";
import { HOSTILE_VALUES } from "../wire/values/thrown.ts";

const INFO = { id: 1, funcName: "a", queue: "default", attempt: 1 };

Deno.test("a consumer's log has a line for each attempt, whatever its handler threw", async () => {
  await using ff = new Firefly({ database: "postgres://127.0.0.1:1/none" });
  const entries: Entry[] = [];
  logEvents(ff, { add: (entry: Entry) => void entries.push(entry) } as unknown as Log);

  for (const [what, make] of Object.entries(HOSTILE_VALUES)) {
    entries.length = 0;
    ff.events.emit("failed", { ...INFO, error: make() });
    ff.events.emit("retried", { ...INFO, error: make(), delay: 1 });
    ff.events.emit("returned", { ...INFO, reason: make() });
    ff.events.emit("lost", { ...INFO, reason: make() });
    ff.events.emit("hook.error", { id: 1, funcName: "a", hook: "onFailed", error: make() });
    ff.events.emit("consumer.error", { consumerId: "c", action: what, error: make() });
    assertEquals(entries.map(({ event }) => event), ["failed", "retried", "returned", "lost", "hook", "error"], what);
  }
});

Deno.test("the command line describes errors that cannot be read", () => {
  const log = new Log(new Terminal({ json: true, table: false, verbosity: "verbose" }), "json");
  log.flush = () => {};
  for (const [what, make] of Object.entries(HOSTILE_VALUES)) {
    assertEquals([typeof describe(make()), typeof stackOf(make())], ["string", "string"], what);
    log.add({ level: "error", event: "failed", error: make(), withStack: true });
  }
});
