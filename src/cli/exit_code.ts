import { DatabaseUnreachable, EmbeddedServerError, SchemaMismatch, StepNotFound, TaskNotFound } from "../errors.ts";
import { TaskFailed } from "../records/task_failed.ts";
import { ValidationFailed } from "../task/validation.ts";
import { UsageError } from "./arguments.ts";

/** The exit codes of the program. */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  noDatabase: 3,
  noSuchTask: 4,
  taskFailed: 5,
  unhealthy: 6,
  nothingDone: 7,
  tooMuchMemory: 8,
  timedOut: 124,
} as const;

/** The meanings of the exit codes, for the help. */
export const EXIT_MEANINGS: readonly [code: number, meaning: string][] = [
  [EXIT.done, "Success"],
  [EXIT.unexpected, "Unexpected error"],
  [EXIT.usage, "Invalid command line"],
  [EXIT.noDatabase, "The database is unreachable, or its schema is missing or from another release"],
  [EXIT.noSuchTask, "No such task, name, step or queue"],
  [EXIT.taskFailed, "The awaited task failed or was cancelled"],
  [EXIT.unhealthy, "`doctor` found a problem"],
  [EXIT.nothingDone, "No task was changed, as none could be"],
  [EXIT.tooMuchMemory, "The consumer stopped as its process had more memory than --max-memory"],
  [EXIT.timedOut, "The awaited task did not end in time"],
  [130, "A second signal ended the process at once (143 if it was SIGTERM)"],
  [137, "A task blocked the event loop, or the process received SIGKILL"],
];

/** Returns the exit code for an error that ended a command. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError || error instanceof ValidationFailed) return EXIT.usage;
  if (error instanceof TaskNotFound || error instanceof StepNotFound) return EXIT.noSuchTask;
  if (error instanceof TaskFailed) return EXIT.taskFailed;
  const isDatabase = [DatabaseUnreachable, SchemaMismatch, EmbeddedServerError].some((type) => error instanceof type);
  return isDatabase ? EXIT.noDatabase : EXIT.unexpected;
}
