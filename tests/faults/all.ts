import type { Fault } from "./fault.ts";
import { killedConsumers } from "./killed_consumers.ts";
import { terminatedListener } from "./terminated_listener.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  killedConsumers,
  terminatedListener,
].toSorted((a, b) => a.number - b.number);
