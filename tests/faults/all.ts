import { blockedLoop } from "./blocked_loop.ts";
import { crashedWorkflows } from "./crashed_workflows.ts";
import { crossingBatches } from "./crossing_batches.ts";
import { endlessHandler } from "./endless_handler.ts";
import { failover } from "./failover.ts";
import type { Fault } from "./fault.ts";
import { fullDisk } from "./full_disk.ts";
import { handEditedRows } from "./hand_edited_rows.ts";
import { crossingWaits } from "./crossing_waits.ts";
import { deadListener } from "./dead_listener.ts";
import { killedConsumers } from "./killed_consumers.ts";
import { killedSteps } from "./killed_steps.ts";
import { largeValues } from "./large_values.ts";
import { longSnapshot } from "./long_snapshot.ts";
import { lostCommitReply } from "./lost_commit_reply.ts";
import { randomSteps } from "./model.ts";
import { oddNames } from "./odd_names.ts";
import { pooled } from "./pooled.ts";
import { restartedServer } from "./restarted_server.ts";
import { rollingDeploy } from "./rolling_deploy.ts";
import { stoppedGracefully } from "./stopped_gracefully.ts";
import { terminatedBackends } from "./terminated_backends.ts";
import { terminatedListener } from "./terminated_listener.ts";
import { wrongClocks } from "./wrong_clocks.ts";
import { zombie } from "./zombie.ts";

/** Faults of consumers, their tasks and what they are given. */
export const CONSUMER_FAULTS: readonly Fault[] = byNumber([
  blockedLoop,
  crossingBatches,
  crossingWaits,
  endlessHandler,
  handEditedRows,
  killedConsumers,
  killedSteps,
  largeValues,
  oddNames,
  randomSteps,
  rollingDeploy,
  stoppedGracefully,
  wrongClocks,
  zombie,
]);

/** Faults of the server and of the ways to it. */
export const SERVER_FAULTS: readonly Fault[] = byNumber([
  crashedWorkflows,
  deadListener,
  failover,
  fullDisk,
  longSnapshot,
  lostCommitReply,
  pooled,
  restartedServer,
  terminatedBackends,
  terminatedListener,
]);

/** Every fault that Firefly survives. */
export const FAULTS: readonly Fault[] = byNumber([...CONSUMER_FAULTS, ...SERVER_FAULTS]);

function byNumber(faults: Fault[]): Fault[] {
  return faults.sort((a, b) => a.number - b.number);
}
