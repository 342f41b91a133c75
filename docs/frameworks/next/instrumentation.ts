/** Next calls this once for each server that it starts, also for those of its edge runtime, which have no sockets. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME === "nodejs") await import("./consumer.ts");
}
