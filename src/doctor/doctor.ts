import { withDeadline } from "../database/deadline.ts";
import { type Check, type Finding, found } from "./check.ts";
import type { Target } from "./target.ts";
import { ENVIRONMENT_CHECKS } from "./environment_checks.ts";
import { LOAD_CHECKS } from "./load_checks.ts";
import { SCHEMA_CHECKS } from "./schema_checks.ts";
import { SERVER_CHECKS } from "./server_checks.ts";
import { TASK_CHECKS } from "./task_checks.ts";
import { WORKFLOW_CHECKS } from "./workflow_checks.ts";

/** The longest that one check may take, in milliseconds, in addition to the timeouts of its statements. */
const TIMEOUT = 20_000;

/** The findings of the check named `check`. */
export interface Diagnosis extends Finding {
  readonly check: string;
}

const CHECKS: readonly Check[] = [
  ...SERVER_CHECKS,
  ...ENVIRONMENT_CHECKS,
  ...SCHEMA_CHECKS,
  ...TASK_CHECKS,
  ...WORKFLOW_CHECKS,
  ...LOAD_CHECKS,
];

/** Runs all checks one after another and yields each finding at once. A check that fails does not stop the others. */
export async function* diagnose(
  target: Target,
  { checks = CHECKS, timeout = TIMEOUT }: { checks?: readonly Check[]; timeout?: number } = {},
): AsyncGenerator<Diagnosis> {
  /** The checks that cause others to be skipped, each with the check that is the root cause. */
  const broken = new Map<string, string>();
  for (const check of checks) {
    const cause = check.after.map((name) => broken.get(name)).find(Boolean);
    const finding = cause ? found("skipped", `not checked, because of "${cause}"`) : await run(check, target, timeout);
    if (["wrong", "unknown", "skipped"].includes(finding.verdict)) broken.set(check.name, cause ?? check.name);
    yield { check: check.name, ...finding };
  }
}

async function run(check: Check, target: Target, timeout: number): Promise<Finding> {
  try {
    return await withDeadline(check.ask(target), timeout);
  } catch (error) {
    return found(
      "unknown",
      `the check failed: ${error instanceof Error ? error.message : String(error)}`,
      "Run doctor again; if the check keeps failing, see the server's log",
    );
  }
}
