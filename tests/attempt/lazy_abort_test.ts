import { assertEquals } from "@std/assert";
import { Aborting } from "../../src/attempt/lazy_abort.ts";

Deno.test("Aborting tells of the first reason alone, once", () => {
  const aborting = new Aborting();
  const told: unknown[] = [];
  aborting.onAbort = (reason) => told.push(reason);

  assertEquals(aborting.aborted, false);
  aborting.abort("first");
  aborting.abort("second");

  assertEquals([told, aborting.aborted, aborting.reason], [["first"], true, "first"]);
});

Deno.test("Aborting has the same signal whenever it is asked, before and after", () => {
  const [early, late] = [new Aborting(), new Aborting()];
  const { signal } = early;
  const reason = new Error("enough");

  early.abort(reason);
  late.abort(reason);

  assertEquals([early.signal === signal, signal.aborted, signal.reason], [true, true, reason]);
  assertEquals([late.signal.aborted, late.signal.reason, late.signal === late.signal], [true, reason, true]);
});
