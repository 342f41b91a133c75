import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Wakeup } from "../src/wakeup.ts";

/** Sleeps, and tells whether that has ended. */
function sleeper(wakeup: Wakeup, ms: number): { awake: boolean; done: Promise<void> } {
  const state = { awake: false, done: Promise.resolve() };
  state.done = wakeup.sleep(ms).then(() => void (state.awake = true));
  return state;
}

Deno.test("Wakeup.sleep() ends after its time, and not before", async () => {
  using time = new FakeTime();
  const sleep = sleeper(new Wakeup(), 1000);

  await time.tickAsync(999);
  assertEquals(sleep.awake, false);
  await time.tickAsync(1);
  await sleep.done;
});

Deno.test("Wakeup.wake() ends a sleep", async () => {
  using time = new FakeTime();
  const wakeup = new Wakeup();
  const sleep = sleeper(wakeup, 1000);
  await time.tickAsync(10);

  wakeup.wake();
  await sleep.done;

  assertEquals(time.now, time.start + 10);
});

Deno.test("Wakeup.wake() before a sleep ends the next one at once, and only that one", async () => {
  using time = new FakeTime();
  const wakeup = new Wakeup();
  wakeup.wake();
  wakeup.wake();

  await wakeup.sleep(1000);
  const second = sleeper(wakeup, 1000);
  await time.tickAsync(999);

  assertEquals(second.awake, false);
  await time.tickAsync(1);
  await second.done;
});

Deno.test("Wakeup.wake() that ended a sleep does not end the next one, too", async () => {
  using time = new FakeTime();
  const wakeup = new Wakeup();
  const first = sleeper(wakeup, 1000);
  wakeup.wake();
  await first.done;

  const second = sleeper(wakeup, 1000);
  await time.tickAsync(999);

  assertEquals(second.awake, false);
  await time.tickAsync(1);
  await second.done;
});

Deno.test("Wakeup.sleep() of no time takes the pending wake-up with it", async () => {
  using time = new FakeTime();
  const wakeup = new Wakeup();
  wakeup.wake();
  await wakeup.sleep(0);

  const sleep = sleeper(wakeup, 5);
  await time.tickAsync(4);

  assertEquals(sleep.awake, false);
  await time.tickAsync(1);
  await sleep.done;
});

Deno.test("Wakeup.sleep() for longer than a timer can hold does not end at once", async () => {
  using time = new FakeTime();
  const wakeup = new Wakeup();
  const sleep = sleeper(wakeup, 2 ** 40);

  await time.tickAsync(60_000);
  assertEquals(sleep.awake, false);

  wakeup.wake();
  await sleep.done;
});
