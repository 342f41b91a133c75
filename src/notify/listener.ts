import { randomUUID } from "node:crypto";
import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import type { Emitter } from "../events.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { Session, SessionOptions } from "../database/session.ts";
import { checkListening, listenOn, unlistenFrom } from "../store/listen.ts";
import { Wakeup } from "../wakeup.ts";

/** How often it is checked that the connection still listens, in milliseconds, give or take a tenth. */
const HEARTBEAT = 10_000;
/** How long the server may take to answer. */
const DEADLINE = 5_000;
/** How long the connection stays open after the last subscriber has gone. */
const LINGER = 5_000;
/** The longest wait between two tries to connect. */
const MAX_BACKOFF = 2_000;
/** How long a notification may take that another connection has sent, before it is believed that none arrives. */
const ECHO_TIMEOUT = 2_000;
/** How long a listener that hears nothing rests before it looks whether it still is so. */
const UNAVAILABLE_PAUSE = 60_000;

/** LISTEN says that all is well, and nothing comes of it. */
class NotificationsUnavailable extends Error {}

/** What a listener needs beside its connection. */
export interface ListenerOptions {
  schema: string;
  events: Emitter;
  /** Milliseconds between two checks. @default 10000 */
  heartbeat?: number;
  /** Milliseconds that the server may take. @default 5000 */
  deadline?: number;
  /** Milliseconds that the connection stays open after the last subscriber has gone. @default 5000 */
  linger?: number;
  /** Rings a channel over another connection: what the listener must hear of before it believes that it hears. */
  echo?: (channel: string) => Promise<void>;
}

/** Notifications arrive; or none does, as a pooler stands in between; or there is no connection for them. */
export type ListenerState = "connected" | "unavailable" | "down";

/** Called when a channel rang, or (without a channel) when notifications may have been missed: look at everything. */
export type OnNotification = (channel: string | undefined) => void;

/**
 * One connection that listens, shared by all who ask. Notifications sent while it was down are lost, so every
 * connection ends with a ring for everybody.
 */
export class Listener {
  readonly #open: (options: SessionOptions) => Session;
  readonly #schema: string;
  readonly #events: Emitter;
  readonly #subscribers = new Map<OnNotification, string[]>();
  readonly #heartbeat: number;
  readonly #deadline: number;
  readonly #linger: number;
  readonly #echo: ((channel: string) => Promise<void>) | undefined;
  readonly #changed = new Wakeup();
  readonly #retry = new Wakeup();
  #running: Promise<void> | undefined;
  #session: Session | undefined;
  #ended = false;
  #down = false;
  /** The tag of the connection, once notifications arrive. */
  #listening: Tag | undefined;
  /** Whether a notification has ever come through. */
  #proven = false;
  #unavailableUntil = -Infinity;
  #onEcho: ((channel: string) => void) | undefined;

  constructor(open: (options: SessionOptions) => Session, options: ListenerOptions) {
    this.#open = open;
    this.#schema = options.schema;
    this.#events = options.events;
    this.#heartbeat = options.heartbeat ?? HEARTBEAT;
    this.#deadline = options.deadline ?? DEADLINE;
    this.#linger = options.linger ?? LINGER;
    this.#echo = options.echo;
  }

  /** Whether notifications arrive, as far as is known. */
  get connected(): boolean {
    return this.#listening !== undefined;
  }

  /** The tag of the connection that listens, another one for each; undefined while no notifications arrive. */
  get listening(): Tag | undefined {
    return this.#listening;
  }

  /** How it is. */
  get state(): ListenerState {
    if (this.#listening) return "connected";
    return this.#unavailableUntil === -Infinity ? "down" : "unavailable";
  }

  /** Calls `onNotification` whenever one of `channels` rings; what it returns ends that. */
  subscribe(channels: string[], onNotification: OnNotification): () => void {
    this.#subscribers.set(onNotification, channels);
    this.#changed.wake();
    this.#running ??= this.#run();
    return () => {
      this.#subscribers.delete(onNotification);
      this.#changed.wake();
      if (this.#subscribers.size === 0) this.#retry.wake();
    };
  }

  /** Stops listening. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#session?.discard();
    this.#changed.wake();
    this.#retry.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let tries = 0; !this.#ended && this.#subscribers.size > 0; tries++) {
      // A sleep of its own: the loss of the connection has ended the other one.
      const pause = tries > 0 ? Math.min(50 * 2 ** tries, MAX_BACKOFF) : 0;
      await this.#retry.sleep(Math.max(pause, this.#unavailableUntil - performance.now()));
      if (this.#ended || this.#subscribers.size === 0) break;
      try {
        await this.#listen(() => tries = 0);
      } catch (error) {
        this.#report(error);
      } finally {
        this.#listening = undefined;
        this.#session?.discard();
        this.#session = undefined;
      }
    }
    this.#running = undefined; // at once: whoever subscribes from now on starts anew
  }

  /** Tells of the first of a row of failures. */
  #report(error: unknown): void {
    const isUnavailable = error instanceof NotificationsUnavailable;
    const isNew = isUnavailable ? this.#unavailableUntil === -Infinity : !this.#down;
    if (isNew && !this.#ended) this.#events.emit(isUnavailable ? "listener.unavailable" : "listener.lost", { error });
    if (isUnavailable) this.#unavailableUntil = performance.now() + UNAVAILABLE_PAUSE;
    else this.#down = true;
  }

  /** Listens until nobody subscribes any more; throws as soon as the connection is not what it should be. */
  async #listen(onConnected: () => void): Promise<void> {
    const session = this.#session = this.#open({ onnotify: (channel) => this.#onNotify(channel) });
    session.onLost = () => this.#changed.wake();
    const sql = session.tag(this.#schema);
    let listening: string[] = [];
    let [checkAt, idleSince] = [0, Infinity];
    while (!this.#ended) {
      const channels = this.#channels();
      const added = channels.filter((channel) => !listening.includes(channel));
      for (const channel of added) await withDeadline(listenOn(sql, channel), this.#deadline);
      if (added.length > 0 || performance.now() >= checkAt) {
        await this.#checkAlive(sql, channels);
        checkAt = performance.now() + this.#heartbeat * (0.9 + 0.2 * Math.random());
      }
      if (!this.#proven && this.#echo) await this.#hearEcho(sql, this.#echo);
      if (added.length > 0) {
        if (listening.length === 0) this.#events.emit("listener.connected", { channels });
        listening = channels;
        this.#down = false;
        this.#unavailableUntil = -Infinity;
        this.#listening = sql;
        onConnected();
        this.#ring(undefined);
      }
      idleSince = this.#subscribers.size > 0 ? Infinity : Math.min(idleSince, performance.now());
      const closeAt = idleSince + this.#linger;
      if (performance.now() >= closeAt) return;
      await this.#changed.sleep(Math.min(checkAt, closeAt) - performance.now());
      if (session.lost) throw session.lost;
    }
  }

  /** A connection may be dead without a sign, or may have come back on a standby, where no NOTIFY is ever sent. */
  async #checkAlive(sql: Tag, listening: string[]): Promise<void> {
    const { standby, channels } = await withDeadline(checkListening(sql), this.#deadline);
    if (standby) throw new DatabaseUnreachable("Cannot listen as the server is a standby");
    if (!listening.every((channel) => channels.includes(channel))) {
      throw new NotificationsUnavailable(
        "Cannot listen as LISTEN is forgotten at once, as it is by a transaction pooler",
      );
    }
  }

  /**
   * Waits for what another connection rings. A transaction pooler gives that ring to whoever has the server's connection
   * then; this session's own it would get back, and so it would any while it sends something: it must be idle here.
   */
  async #hearEcho(sql: Tag, echo: (channel: string) => Promise<void>): Promise<void> {
    const channel = `firefly:${randomUUID()}`;
    const heard = Promise.withResolvers<void>();
    this.#onEcho = (notified) => notified === channel && heard.resolve();
    try {
      await withDeadline(listenOn(sql, channel), this.#deadline);
      await withDeadline(echo(channel), this.#deadline);
      const late = withDeadline(heard.promise, ECHO_TIMEOUT);
      this.#proven = await late.then(() => true, () => false);
      await withDeadline(unlistenFrom(sql, channel), this.#deadline);
    } finally {
      this.#onEcho = undefined;
    }
    if (!this.#proven) {
      throw new NotificationsUnavailable(
        "Cannot listen as no notification arrives, as it is behind a transaction pooler",
      );
    }
  }

  #onNotify(channel: string): void {
    this.#onEcho?.(channel);
    this.#ring(channel);
  }

  #channels(): string[] {
    return [...new Set([...this.#subscribers.values()].flat())];
  }

  #ring(channel: string | undefined): void {
    for (const [onNotification, channels] of this.#subscribers) {
      if (channel === undefined || channels.includes(channel)) onNotification(channel);
    }
  }
}
