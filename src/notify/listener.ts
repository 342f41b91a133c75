import { randomUUID } from "node:crypto";
import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import type { Emitter } from "../events.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { Session, SessionOptions } from "../database/session.ts";
import { checkListening, listenOn, unlistenFrom } from "../store/listen.ts";
import { Wakeup } from "../wakeup.ts";

/** Milliseconds between two checks that the connection still listens, give or take a tenth. */
const HEARTBEAT = 10_000;
/** Milliseconds that the server may take to answer. */
const DEADLINE = 5_000;
/** Milliseconds that the connection stays open after the last subscriber has gone. */
const LINGER = 5_000;
/** The longest wait between two tries to connect, in milliseconds. */
const MAX_BACKOFF = 2_000;
/** Milliseconds that a notification from another connection may take; later, notifications count as unavailable. */
const ECHO_TIMEOUT = 2_000;
/** Milliseconds before a listener without notifications tries again. */
const UNAVAILABLE_PAUSE = 60_000;

/** LISTEN succeeds, but no notification arrives. */
class NotificationsUnavailable extends Error {}

/** Options of a {@linkcode Listener}. */
export interface ListenerOptions {
  schema: string;
  events: Emitter;
  /** Milliseconds between two checks. @default 10000 */
  heartbeat?: number;
  /** Milliseconds that the server may take to answer. @default 5000 */
  deadline?: number;
  /** Milliseconds that the connection stays open after the last subscriber has gone. @default 5000 */
  linger?: number;
  /** Notifies a channel over another connection: the listener counts as connected once that notification arrives. */
  echo?: (channel: string) => Promise<void>;
}

/** Whether notifications arrive: `unavailable` behind a transaction pooler, `down` without a connection. */
export type ListenerState = "connected" | "unavailable" | "down";

/** Called for each notification of a channel; without a channel if notifications may have been missed: look at everything. */
export type OnNotification = (channel: string | undefined) => void;

/**
 * One connection that listens for all subscribers. Notifications sent while it was down are lost, so whenever it connects,
 * it calls every subscriber once.
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
  /** The channels that the connection listens on. */
  #heard: readonly string[] = [];
  /** Whether a notification has ever arrived. */
  #proven = false;
  #unavailableUntil = -Infinity;
  #onEcho: ((channel: string) => void) | undefined;
  /** Ends the wait for an echo: on a connection that is lost, none arrives. */
  #stopAwaiting: (() => void) | undefined;

  constructor(open: (options: SessionOptions) => Session, options: ListenerOptions) {
    this.#open = open;
    this.#schema = options.schema;
    this.#events = options.events;
    this.#heartbeat = options.heartbeat ?? HEARTBEAT;
    this.#deadline = options.deadline ?? DEADLINE;
    this.#linger = options.linger ?? LINGER;
    this.#echo = options.echo;
  }

  /** Whether notifications arrive, as far as it knows. */
  get connected(): boolean {
    return this.#listening !== undefined;
  }

  /** The tag of the connection that listens, a new one for each connection; undefined while no notification arrives. */
  get listening(): Tag | undefined {
    return this.#listening;
  }

  /** Whether notifications of a channel arrive. */
  hears(channel: string): boolean {
    return this.connected && this.#heard.includes(channel);
  }

  /** Its state now. */
  get state(): ListenerState {
    if (this.#listening) return "connected";
    return this.#unavailableUntil === -Infinity ? "down" : "unavailable";
  }

  /**
   * Calls `onNotification` for each notification of `channels`; called again with the same function, of the new ones.
   * Returns a function that unsubscribes.
   */
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
      // A sleep of its own: the loss of the connection would end the other one.
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
    this.#running = undefined; // at once: the next subscriber starts anew
  }

  /** Reports the first of consecutive failures. */
  #report(error: unknown): void {
    const isUnavailable = error instanceof NotificationsUnavailable;
    const isNew = isUnavailable ? this.#unavailableUntil === -Infinity : !this.#down;
    if (isNew && !this.#ended) this.#events.emit(isUnavailable ? "listener.unavailable" : "listener.lost", { error });
    if (isUnavailable) this.#unavailableUntil = performance.now() + UNAVAILABLE_PAUSE;
    else this.#down = true;
  }

  /** Listens until the last subscriber has gone; throws as soon as the connection fails. */
  async #listen(onConnected: () => void): Promise<void> {
    const session = this.#session = this.#open({ onnotify: (channel) => this.#onNotify(channel) });
    session.onLost = () => {
      this.#changed.wake();
      this.#stopAwaiting?.();
    };
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
      if (!this.#proven && this.#echo) await this.#awaitEcho(sql, this.#echo);
      if (added.length > 0) {
        if (listening.length === 0) this.#events.emit("listener.connected", { channels });
        listening = channels;
        this.#down = false;
        this.#unavailableUntil = -Infinity;
        this.#heard = channels;
        this.#listening = sql;
        onConnected();
        this.#notify(undefined);
      }
      idleSince = this.#subscribers.size > 0 ? Infinity : Math.min(idleSince, performance.now());
      const closeAt = idleSince + this.#linger;
      if (performance.now() >= closeAt) return;
      const isIdle = this.#subscribers.size === 0;
      session.setIdle(isIdle);
      await this.#changed.sleep(Math.min(checkAt, closeAt) - performance.now(), { isIdle });
      session.setIdle(false);
      if (session.lost) throw session.lost;
    }
  }

  /** A connection may be dead without a sign, or open again on a standby, where no NOTIFY is ever sent. */
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
   * Waits for a notification that another connection sends. A transaction pooler delivers it to the session that uses the
   * server's connection at that moment. This session would get its own notifications, and any that arrive while it sends
   * something, so it must be idle here.
   */
  async #awaitEcho(sql: Tag, echo: (channel: string) => Promise<void>): Promise<void> {
    const channel = `firefly:${randomUUID()}`;
    const arrived = Promise.withResolvers<void>();
    this.#onEcho = (notified) => notified === channel && arrived.resolve();
    // The next statement fails then. A rejection would be unhandled while this waits for something else.
    this.#stopAwaiting = arrived.resolve;
    try {
      await withDeadline(listenOn(sql, channel), this.#deadline);
      await withDeadline(Promise.race([echo(channel), arrived.promise]), this.#deadline);
      const echoed = await withDeadline(arrived.promise, ECHO_TIMEOUT).then(() => true, () => false);
      await withDeadline(unlistenFrom(sql, channel), this.#deadline);
      this.#proven = echoed;
    } finally {
      this.#onEcho = this.#stopAwaiting = undefined;
    }
    if (!this.#proven) {
      throw new NotificationsUnavailable(
        "Cannot listen as no notification arrives, as it is behind a transaction pooler",
      );
    }
  }

  #onNotify(channel: string): void {
    this.#onEcho?.(channel);
    this.#notify(channel);
  }

  #channels(): string[] {
    return [...new Set([...this.#subscribers.values()].flat())];
  }

  #notify(channel: string | undefined): void {
    for (const [onNotification, channels] of this.#subscribers) {
      if (channel === undefined || channels.includes(channel)) onNotification(channel);
    }
  }
}
