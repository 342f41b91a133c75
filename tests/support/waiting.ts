const TIMEOUT = 30_000;

/** Waits for `promise`, for 30 seconds at most. */
export async function deadline<T>(promise: Promise<T>, why: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${TIMEOUT / 1000} s: ${why()}`)), TIMEOUT);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `condition` holds; fails after `timeout` milliseconds. */
export async function until(condition: () => boolean | Promise<boolean>, timeout = TIMEOUT): Promise<void> {
  const end = performance.now() + timeout;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`The condition did not come true within ${timeout} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Blocks the event loop for `ms` milliseconds, as a handler does that computes. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
