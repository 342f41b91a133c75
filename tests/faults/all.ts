import type { Fault } from "./fault.ts";
import { crossingBatches } from "./crossing_batches.ts";
import { fullDisk } from "./full_disk.ts";
import { handEditedRows } from "./hand_edited_rows.ts";
import { largeValues } from "./large_values.ts";
import { longSnapshot } from "./long_snapshot.ts";
import { randomSteps } from "./model.ts";
import { oddNames } from "./odd_names.ts";
import { rollingDeploy } from "./rolling_deploy.ts";
import { terminatedListener } from "./terminated_listener.ts";
import { wrongClocks } from "./wrong_clocks.ts";

/** Every fault that Firefly survives, by its number. */
export const FAULTS: readonly Fault[] = [
  terminatedListener,
  handEditedRows,
  rollingDeploy,
  oddNames,
  largeValues,
  longSnapshot,
  wrongClocks,
  fullDisk,
  crossingBatches,
  randomSteps,
].toSorted((a, b) => a.number - b.number);
