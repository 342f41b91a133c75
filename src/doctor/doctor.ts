import { withDeadline } from "../database/deadline.ts";
import { type Check, type Finding, found } from "./check.ts";
import type { Target } from "./target.ts";
import { SCHEMA_CHECKS } from "./schema_checks.ts";
import { SERVER_CHECKS } from "./server_checks.ts";
import { TASK_CHECKS } from "./task_checks.ts";

/** How long one check may take, in milliseconds, whatever becomes of its statements. */
const TIMEOUT = 20_000;

/** What came of the check `check`. */
export interface Diagnosis extends Finding {
  readonly check: string;
}

const CHECKS: readonly Check[] = [...SERVER_CHECKS, ...SCHEMA_CHECKS, ...TASK_CHECKS];

/** Runs all checks, one after another, and tells of each as soon as it is done. One that fails keeps no other. */
export async function* diagnose(
  patient: Target,
  { checks = CHECKS, timeout = TIMEOUT }: { checks?: readonly Check[]; timeout?: number } = {},
): AsyncGenerator<Diagnosis> {
  /** The checks that others are skipped for, each with the one at the bottom of it. */
  const broken = new Map<string, string>();
  for (const check of checks) {
    const cause = check.after.map((name) => broken.get(name)).find(Boolean);
    const finding = cause ? found("skipped", `not asked, because of: ${cause}`) : await run(check, patient, timeout);
    if (["wrong", "unknown", "skipped"].includes(finding.verdict)) broken.set(check.name, cause ?? check.name);
    yield { check: check.name, ...finding };
  }
}

async function run(check: Check, patient: Target, timeout: number): Promise<Finding> {
  try {
    return await withDeadline(check.ask(patient), timeout);
  } catch (error) {
    return found(
      "unknown",
      `could not be found out: ${error instanceof Error ? error.message : String(error)}`,
      "Run it again; if it stays, look into the log of the server",
    );
  }
}
