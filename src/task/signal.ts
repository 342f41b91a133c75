import type { StandardSchemaV1 } from "./standard_schema.ts";

/**
 * What follows the id of a task where a signal is sent: the payload, nothing for a signal without one.
 *
 * @internal
 */
export type Payload<T> = [T] extends [void] ? [] : [payload: T];

/** A task, by its name and its unique key. */
export interface SignalTarget {
  /** The name of the task. */
  readonly funcName: string;
  /** The unique key of the task. */
  readonly uniqueKey: string;
}

/** What a signal is defined by. */
export interface SignalOptions<T> {
  /** Identifies the signal: text of 1 to 200 characters. */
  name: string;
  /** Validates the payload where it is sent, and may convert it. @default none */
  input?: StandardSchemaV1<unknown, T>;
}

/** A message to a task, with a payload of type `T`, that its handler waits for: see `signal()`. */
export interface Signal<T = unknown> {
  /** The name of the signal. */
  readonly name: string;
  /**
   * Sends the signal to a task. Joins the current transaction, if there is one. Resolves to whether there is such a task
   * that has not ended.
   *
   * @throws {ValidationFailed} If the payload does not fit the schema `input`.
   */
  send(id: number, ...payload: Payload<T>): Promise<boolean>;
  /** Validates the payload; undefined without a schema. @ignore */
  readonly input?: StandardSchemaV1<unknown, unknown> | undefined;
}
