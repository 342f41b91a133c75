import type { Results } from "./results.ts";
import { summarize } from "./statistics.ts";
import type { Target } from "./targets.ts";

const FIREFLY = { peer: "firefly", scenario: "dashboard" } as const;

/** What the dashboard should reach over a million tasks, and what its statistics may cost a drain. */
export const DASHBOARD_TARGETS: readonly Target[] = [
  {
    key: "dashboard/pages",
    scenario: "dashboard, the slowest page, p95",
    of: "at the server",
    sense: "less than",
    bound: 100,
    unit: "ms",
    measured(results) {
      const pages = pagesOf(results).map((page) => summarize(results, { ...FIREFLY, metric: "p95", page })!.median);
      return pages.length > 0 ? Math.max(...pages) : undefined;
    },
  },
  {
    key: "dashboard/overview",
    scenario: "dashboard, all statements of the overview",
    of: "of server CPU",
    sense: "less than",
    bound: 50,
    unit: "ms",
    measured(results) {
      const cpu = summarize(results, { ...FIREFLY, metric: "serverCpu", page: "Overview" });
      return cpu && cpu.median / 1000;
    },
  },
  {
    key: "drain_1/uncounted",
    scenario: "drain, 1 process",
    of: "the same without statistics",
    sense: "at least",
    bound: 0.99,
    measured(results) {
      const drain = { scenario: "drain_1", metric: "rate" } as const;
      const [counted, uncounted] = ["firefly", "firefly-uncounted"].map((peer) =>
        summarize(results, { ...drain, peer })
      );
      return counted && uncounted && counted.median / uncounted.median;
    },
  },
];

function pagesOf({ measurements }: Results): string[] {
  return [...new Set(measurements.flatMap(({ scenario, page }) => scenario === "dashboard" ? page ?? [] : []))];
}
