import { KINDS, pageOf } from "./measures/traces.ts";
import { summarize } from "./statistics.ts";
import type { Target } from "./targets.ts";

/** What traces may cost a drain. */
export const TRACING_TARGETS: readonly Target[] = KINDS.map((kind) => ({
  key: `traces/${kind}`,
  scenario: `drain of tasks scheduled ${kind}, CPU with traces`,
  of: "without",
  sense: "at most",
  bound: 1.05,
  measured(results) {
    const page = pageOf(kind, "traced");
    return summarize(results, { peer: "firefly", scenario: "traces", metric: "ratio", page })?.median;
  },
}));
