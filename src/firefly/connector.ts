import { Closing } from "../closing.ts";
import { withDeadline } from "../database/deadline.ts";
import { InstanceClosed } from "../errors.ts";
import { type Connected, disconnect } from "./connect.ts";

/** How many milliseconds {@linkcode Connector.close} waits for calls under way. */
const CALL_TIMEOUT = 5_000;

/** The connections of an instance, from its first use until it is closed for good. */
export class Connector {
  readonly #connect: (closing: Closing) => Promise<Connected>;
  /** Closed once the connections are about to end. */
  readonly closing: Closing = new Closing();
  #connected: Promise<Connected> | undefined;
  #closed: Promise<void> | undefined;
  #calls = 0;
  #onIdle: (() => void) | undefined;

  /** `connect` opens the connections, and gives up when it is closed meanwhile. */
  constructor(connect: (closing: Closing) => Promise<Connected>) {
    this.#connect = connect;
  }

  /** Throws from the beginning of {@linkcode Connector.close} on. */
  throwIfClosed(): void {
    if (this.#closed) throw new InstanceClosed();
  }

  /**
   * Connects on the first call; a failed attempt is repeated by the next call.
   *
   * @throws {InstanceClosed} If it is closed.
   */
  async connect(): Promise<Connected> {
    this.closing.throwIfClosed();
    const connected = this.#connected ??= this.#connect(this.closing);
    try {
      return await connected;
    } catch (error) {
      if (this.#connected === connected) this.#connected = undefined; // the next call tries again
      throw error;
    }
  }

  /** Makes {@linkcode Connector.close} wait for `call`. */
  async during<T>(call: Promise<T>): Promise<T> {
    this.#calls++;
    try {
      return await call;
    } finally {
      if (--this.#calls === 0) this.#onIdle?.();
    }
  }

  /** Ends the connections, once `stop`, which may need them, and the calls under way have ended. */
  close(stop: () => Promise<unknown>): Promise<void> {
    return this.#closed ??= this.#close(stop);
  }

  async #close(stop: () => Promise<unknown>): Promise<void> {
    let connected: Connected | undefined;
    this.#connected?.then((value) => connected = value, () => {});
    const stopped = stop();
    if (this.#calls > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await withDeadline(idle, CALL_TIMEOUT).catch(() => {});
    } else await undefined; // now it is known whether it has connected
    if (connected) await stopped;
    this.closing.close(); // without a connection, this ends the attempt to connect
    await stopped;
    connected = await this.#connected?.catch(() => undefined);
    if (connected) await disconnect(connected);
  }
}
