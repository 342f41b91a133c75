import type { Account, Latencies } from "./ledger.ts";
import type { LoadCounts } from "./load.ts";
import type { SoakOptions } from "./options.ts";
import type { Division, FaultKind, PlannedFault } from "./plan.ts";
import type { Sample, ServerSample } from "./probe.ts";

/** What was seen within a period: one row of the table. */
export interface Row {
  readonly index: number;
  /** Seconds from the start of the load. */
  readonly from: number;
  readonly to: number;
  /** The length of that part of it which the latencies are about. */
  readonly seconds: number;
  readonly faults: readonly FaultKind[];
  readonly latencies: Latencies;
  readonly samples: readonly Sample[];
}

/** All that was seen of a run. */
export interface Evidence {
  readonly options: SoakOptions;
  readonly version: string;
  readonly division: Division;
  /** When the load began, in milliseconds since 1970. */
  readonly start: number;
  readonly samples: readonly Sample[];
  readonly rows: readonly Row[];
  readonly faults: readonly PlannedFault[];
  readonly counts: LoadCounts;
  /** At rest, before the load and after it. */
  readonly before: Sample;
  readonly after: Sample;
  /** Rows that were left after the load where none may be. */
  readonly left: Readonly<Record<string, number>>;
  /** When all processes had ended. */
  readonly final: ServerSample | undefined;
  readonly account: Account;
  /** Consumers that ended without being told to. */
  readonly unasked: number;
  /** Rejections in the scheduling process that nobody handled. */
  readonly unhandled: readonly string[];
}
