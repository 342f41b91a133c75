import { DatabaseUnreachable, EmbeddedServerError, SchemaMismatch, TaskNotFound } from "../errors.ts";
import { TaskFailed } from "../records/task_record.ts";
import { ValidationFailed } from "../task/validation.ts";
import { UsageError } from "./arguments.ts";

/** How the program ended, for whoever called it. */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  noDatabase: 3,
  noSuchTask: 4,
  taskFailed: 5,
  unhealthy: 6,
  timedOut: 124,
} as const;

/** What the exit codes mean, for the help. */
export const EXIT_MEANINGS: readonly [code: number, meaning: string][] = [
  [EXIT.done, "Done"],
  [EXIT.unexpected, "Something unexpected"],
  [EXIT.usage, "The command line was not understood"],
  [EXIT.noDatabase, "The database cannot be reached, or its schema is missing or of another release"],
  [EXIT.noSuchTask, "There is no such task"],
  [EXIT.taskFailed, "The awaited task failed or was cancelled"],
  [EXIT.unhealthy, "The doctor found something wrong"],
  [EXIT.timedOut, "The awaited task has not ended in time"],
  [137, "A task blocked the event loop, or somebody sent SIGKILL"],
  [130, "Ended at once by a second signal (143 if that was SIGTERM)"],
];

/** The exit code for an error that ended a command. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError || error instanceof ValidationFailed) return EXIT.usage;
  if (error instanceof TaskNotFound) return EXIT.noSuchTask;
  if (error instanceof TaskFailed) return EXIT.taskFailed;
  const isDatabase = [DatabaseUnreachable, SchemaMismatch, EmbeddedServerError].some((type) => error instanceof type);
  return isDatabase ? EXIT.noDatabase : EXIT.unexpected;
}
