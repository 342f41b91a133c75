import type { Fault } from "./fault.ts";
import { failover } from "./failover.ts";
import { holedListener } from "./holed_listener.ts";
import { pooled } from "./pooled.ts";
import { terminatedListener } from "./terminated_listener.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  terminatedListener,
  holedListener,
  failover,
  pooled,
].toSorted((a, b) => a.number - b.number);
