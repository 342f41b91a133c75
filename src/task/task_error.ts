/** The error of one failed attempt, as stored in the record's `errors`. */
export interface TaskError {
  /** The error's class, such as `TypeError`. */
  name: string;
  /** The error's message, cut off after 8 KiB. */
  message: string;
  /** The code of the error, or of the first of its causes that has one: the SQLSTATE of a failed statement. */
  code?: string;
  /**
   * The text of the statement that failed, cut off after 2 KiB, if it ran through `current().sql`, `transaction()` or
   * `sql` of an instance. Its parameters are not stored.
   */
  statement?: string;
  /** The error's stack, cut off after 16 KiB. Runs of this package's own frames are one line. */
  stack?: string;
  /** The names and messages of the error's cause and of its causes in turn (up to 5), one a line. */
  cause?: string;
  /** When the attempt ended. */
  at: Date;
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The seconds until the next attempt; absent if no retry followed. */
  delay?: number;
  /** How many seconds the attempt ran; absent if it crashed its consumer. */
  seconds?: number;
  /** The machine of the consumer that ran the attempt. */
  host?: string;
  /** The process id of that consumer. */
  pid?: number;
  /** The release that it ran: the option `release` of the consumer; null if it had none. */
  release?: string | null;
  /** Of an error `DependencyFailed`: the id of the task that did not complete, on which this one depends. */
  dependency?: number;
  /** Of an error `DependencyFailed`: the id of the task whose end began it, on which that one may depend in turn. */
  root?: number;
}
