import { assertEquals } from "@std/assert";
import { LazyAbortController } from "../../src/attempt/lazy_abort.ts";

Deno.test("LazyAbortController reports only the first reason, once", () => {
  const aborting = new LazyAbortController();
  const reported: unknown[] = [];
  aborting.onAbort = (reason) => reported.push(reason);

  assertEquals(aborting.aborted, false);
  aborting.abort("first");
  aborting.abort("second");

  assertEquals([reported, aborting.aborted, aborting.reason], [["first"], true, "first"]);
});

Deno.test("LazyAbortController has the same signal whenever it is asked, before and after", () => {
  const [early, late] = [new LazyAbortController(), new LazyAbortController()];
  const { signal } = early;
  const reason = new Error("enough");

  early.abort(reason);
  late.abort(reason);

  assertEquals([early.signal === signal, signal.aborted, signal.reason], [true, true, reason]);
  assertEquals([late.signal.aborted, late.signal.reason, late.signal === late.signal], [true, reason, true]);
});
