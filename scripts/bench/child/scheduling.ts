import type { Payload, Producer } from "../drivers/driver.ts";
import { wallClock } from "./clock.ts";
import type { Taken } from "./commands.ts";

function payloadOf(i: number, more: Partial<Payload> = {}): Payload {
  return { i, s: "hello-firefly-benchmark", ...more };
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Schedules `count` tasks, `at` calls at a time. */
export async function schedule(
  producer: Producer,
  { count, at, payload }: { count: number; at: number; payload?: Partial<Payload> },
): Promise<void> {
  let i = 0;
  await Promise.all(Array.from({ length: at }, async () => {
    while (i < count) await producer.one(payloadOf(i++, payload));
  }));
}

/** Schedules for `seconds`, `at` calls at a time. */
export async function scheduleFor(
  producer: Producer,
  { seconds, at }: { seconds: number; at: number },
): Promise<Taken> {
  const start = performance.now();
  const end = start + seconds * 1000;
  let count = 0;
  await Promise.all(Array.from({ length: at }, async () => {
    for (; performance.now() < end; count++) await producer.one(payloadOf(count));
  }));
  return { count, seconds: (performance.now() - start) / 1000 };
}

/** Schedules `count` tasks by calls with `chunk` each. */
export async function fill(
  producer: Producer,
  { count, chunk }: { count: number; chunk: number },
): Promise<Taken> {
  const start = performance.now();
  for (let i = 0; i < count; i += chunk) {
    await producer.many(Array.from({ length: Math.min(chunk, count - i) }, (_, j) => payloadOf(i + j)));
  }
  return { count, seconds: (performance.now() - start) / 1000 };
}

/** Waits for some milliseconds and schedules one task whose start is reported. */
export async function ping(producer: Producer, { pause }: { pause: number }): Promise<void> {
  await sleep(pause);
  await producer.one(payloadOf(0, { t: wallClock(), report: true }));
}

/** Schedules at random times, `rate` a second on average, whether or not the calls before have ended. */
export async function load(
  producer: Producer,
  { rate, seconds }: { rate: number; seconds: number },
): Promise<Taken> {
  const start = performance.now();
  const calls: Promise<unknown>[] = [];
  // Times between independent events are distributed exponentially.
  for (let at = 0; at < seconds * 1000; at += -Math.log(1 - Math.random()) * 1000 / rate) {
    const wait = start + at - performance.now();
    if (wait > 0) await sleep(wait);
    calls.push(producer.one(payloadOf(calls.length, { t: wallClock() })));
  }
  await Promise.all(calls);
  return { count: calls.length, seconds: (performance.now() - start) / 1000 };
}

/** Schedules `count` tasks one after the other, and waits for the result of each; in milliseconds. */
export async function roundTrips(producer: Producer, { count }: { count: number }): Promise<{ times: number[] }> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await producer.result!(payloadOf(i));
    times.push(performance.now() - start);
  }
  return { times };
}
