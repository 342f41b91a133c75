import type { Fault } from "./fault.ts";
import { crossingBatches } from "./crossing_batches.ts";
import { fullDisk } from "./full_disk.ts";
import { handEditedRows } from "./hand_edited_rows.ts";
import { largeValues } from "./large_values.ts";
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
  wrongClocks,
  fullDisk,
  crossingBatches,
].toSorted((a, b) => a.number - b.number);
