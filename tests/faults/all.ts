import type { Fault } from "./fault.ts";
import { killedConsumers } from "./killed_consumers.ts";
import { lostCommitReply } from "./lost_commit_reply.ts";
import { stoppedGracefully } from "./stopped_gracefully.ts";
import { terminatedListener } from "./terminated_listener.ts";
import { zombie } from "./zombie.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  killedConsumers,
  lostCommitReply,
  stoppedGracefully,
  terminatedListener,
  zombie,
].toSorted((a, b) => a.number - b.number);
