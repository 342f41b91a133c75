import type { TaskDefinition } from "../task/definition.ts";

/** Whether all attempts of a task so far ended at once, and needed no context. */
const known = new WeakMap<TaskDefinition, boolean>();

/** Whether the attempts of a task end at once and need no context; undefined if none was seen. */
export function endsAtOnce(definition: TaskDefinition): boolean | undefined {
  return known.get(definition);
}

/** Notes that an attempt of a task ended at once. */
export function noteAtOnce(definition: TaskDefinition): void {
  if (!known.has(definition)) known.set(definition, true);
}

/** Notes that an attempt of a task needed a context: its handler, or code that it left running, asked for it or waits. */
export function noteContext(definition: TaskDefinition): void {
  known.set(definition, false);
}
