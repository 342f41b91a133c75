const TIMEOUT = 30_000;

/** Waits for `promise`, but not for ever. */
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

/** Asks until `ask` resolves to something. */
export async function until<T>(ask: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() - started > TIMEOUT) throw new Error(`Waited ${TIMEOUT / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
