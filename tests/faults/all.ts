import { blockedLoop } from "./blocked_loop.ts";
import { endlessHandler } from "./endless_handler.ts";
import type { Fault } from "./fault.ts";
import { killedConsumers } from "./killed_consumers.ts";
import { lostCommitReply } from "./lost_commit_reply.ts";
import { restartedServer } from "./restarted_server.ts";
import { stoppedGracefully } from "./stopped_gracefully.ts";
import { terminatedBackends } from "./terminated_backends.ts";
import { terminatedListener } from "./terminated_listener.ts";
import { zombie } from "./zombie.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  killedConsumers,
  lostCommitReply,
  restartedServer,
  stoppedGracefully,
  terminatedBackends,
  blockedLoop,
  endlessHandler,
  terminatedListener,
  zombie,
].toSorted((a, b) => a.number - b.number);
