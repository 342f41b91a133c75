/** Rejects with the code DEADLINE if `promise` takes longer than `ms`. */
export async function withDeadline<T>(promise: PromiseLike<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(lateError(ms)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Makes the error of what takes longer than `ms`. */
export function lateError(ms: number): Error {
  return Object.assign(new Error(`no answer in ${ms / 1000} s`), { code: "DEADLINE" });
}
