import { attemptTransaction } from "../database/attempt_transaction.ts";
import type { Duration } from "../duration.ts";
import { LeaseLost } from "../errors.ts";
import { commitStep } from "../settle/commit_step.ts";
import { hasDatabaseFailed } from "../settle/database_failure.ts";
import type { EndedStep } from "../store/steps.ts";
import { isInstance } from "../thrown.ts";
import type { StepsHost } from "./host.ts";
import { type ReportedStep, StepReport } from "./step_report.ts";
import { StepRun } from "./step_run.ts";

/** Prepares the call of a function of a step: its scope, its transaction, and what reports it. */
export function newRun(host: StepsHost, step: ReportedStep & { readonly timeout: Duration | undefined }): StepRun {
  const { task: { id }, context, observers, env: { instance, sessions, sql, config: { leaseMs } } } = host;
  const { schemaName: schema } = sql;
  const { name, key, kind, timeout } = step;
  return new StepRun({
    name,
    key,
    timeout,
    idempotencyKey: [schema, id, name, key].join(":"),
    context,
    instance,
    openTransaction: () => attemptTransaction(sessions, { schema, leaseMs }),
    report: new StepReport(observers, { name, key, kind }),
  });
}

/** Stores a step that has ended: with the effects of its function if it has any, else together with other steps. */
export async function storeRun(run: StepRun, ended: EndedStep, host: StepsHost, signal: AbortSignal): Promise<void> {
  const { sql, stepSettler } = host.env;
  const transaction = run.usedTransaction;
  if (transaction?.begun) return await commitStep(sql, ended, transaction);
  transaction?.abandon(); // from here on, nothing can begin it
  await stepSettler.store(ended, signal);
}

/** Undoes the effects of a function that failed. Resolves to whether that was the database, or a lost lease, and not it. */
export async function undoRun(
  { usedTransaction: transaction }: StepRun,
  error: unknown,
  isAborted: boolean,
): Promise<boolean> {
  const databaseFailed = await hasDatabaseFailed(error, transaction, isAborted);
  if (isAborted) transaction?.abandon();
  else await transaction?.rollback();
  return databaseFailed || isInstance(error, LeaseLost);
}
