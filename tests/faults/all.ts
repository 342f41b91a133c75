import { blockedLoop } from "./blocked_loop.ts";
import { endlessHandler } from "./endless_handler.ts";
import type { Fault } from "./fault.ts";
import { terminatedListener } from "./terminated_listener.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  blockedLoop,
  endlessHandler,
  terminatedListener,
].toSorted((a, b) => a.number - b.number);
