import type { ImportReport, LeftJobs } from "../import/report.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Formats a number of jobs: `1 job`, `2 jobs`. */
export function countJobs(count: number): string {
  return count === 1 ? "1 job" : `${count} jobs`;
}

/** Prints what an import has done, or would do. */
export async function printReport(report: ImportReport, terminal: Terminal): Promise<void> {
  if (terminal.json) await terminal.printJson(fieldsOf(report));
  else await printTables(report, terminal);
}

function fieldsOf({ source, version, dryRun, imported, jobs, left, schedules, recovered }: ImportReport): object {
  return {
    source,
    version,
    dry_run: dryRun,
    imported,
    jobs: jobs.map(({ sourceQueue, ...rest }) => ({ ...rest, source_queue: sourceQueue })),
    left: left.map(({ sourceQueue, ...rest }) => ({ ...rest, source_queue: sourceQueue })),
    schedules,
    recovered,
  };
}

async function printTables(report: ImportReport, terminal: Terminal): Promise<void> {
  const { source, version, dryRun, imported, jobs, left, schedules, recovered } = report;
  const [removed, returned] = [countJobs(recovered.removed), countJobs(recovered.returned)];
  if (recovered.removed > 0) {
    await terminal.print(
      `${dryRun ? "Would remove" : "Removed"} ${removed} of an earlier import that had become tasks`,
    );
  }
  if (recovered.returned > 0) {
    await terminal.print(`${dryRun ? "Would return" : "Returned"} ${returned} of an earlier import that did not end`);
  }
  const version_ = version === "" ? "" : ` (${version})`;
  await terminal.print(`${dryRun ? "Would import" : "Imported"} ${countJobs(imported)} from ${source}${version_}`);
  if (jobs.length > 0) {
    await terminal.print("");
    await printTable(terminal, {
      header: ["name", "task", "queue", "state", "jobs"],
      rows: jobs.map(({ name, sourceQueue, task, queue, state, count }) => [
        placeOf(name, sourceQueue),
        task,
        queue,
        state,
        String(count),
      ]),
      right: [4],
    });
  }
  if (left.length > 0) await printLeft(left, terminal);
  if (schedules.length > 0) await printSchedules(report, terminal);
}

async function printLeft(left: readonly LeftJobs[], terminal: Terminal): Promise<void> {
  const total = left.reduce((sum, { count }) => sum + count, 0);
  await terminal.print(`\nLeft ${countJobs(total)} where ${total === 1 ? "it is" : "they are"}`);
  await terminal.print("");
  await printTable(terminal, {
    header: ["name", "reason", "jobs", "why"],
    rows: left.map(({ name, sourceQueue, reason, count, detail, ids }) => [
      placeOf(name, sourceQueue),
      reason,
      String(count),
      ids.length === 0 ? detail : `${detail} (${ids.join(", ")}${count > ids.length ? ", …" : ""})`,
    ]),
    right: [2],
  });
}

async function printSchedules({ schedules, source }: ImportReport, terminal: Terminal): Promise<void> {
  await terminal.print("\nSchedules, which stay: write each as the cron of a task");
  await terminal.print("");
  await printTable(terminal, {
    header: ["name", "cron", "timezone", "data"],
    rows: schedules.map(({ name, cron, timezone, data }) => [
      name,
      cron ?? (source === "graphile-worker" ? "see the crontab" : ""),
      timezone ?? "",
      data ?? "",
    ]),
  });
}

/** The name of a job with its queue of BullMQ: `mail/welcome`. */
function placeOf(name: string | null, queue: string | null): string {
  return [...(queue === null ? [] : [queue]), name ?? "(any)"].join("/");
}
