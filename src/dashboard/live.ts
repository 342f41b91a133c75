import type { Firefly } from "../firefly/firefly.ts";
import type { Pulse } from "../store/pulse.ts";
import { openPage } from "./connection.ts";

/** How often the database is read while a page is open, in milliseconds. */
const INTERVAL = 2_000;
/** How many streams there may be. */
const MAX_STREAMS = 1_000;

/** How many events may wait for a page to read them. */
const MAX_UNREAD = 20;

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // Tells nginx to pass events on as they come.
  "x-accel-buffering": "no",
};

/**
 * Server-sent events for open pages: every two seconds one statement reads whether anything has changed, for all pages
 * together, and only while there is one. Events hold nothing but that: a page asks again for itself.
 */
export class Live {
  readonly #firefly: Firefly;
  readonly #streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isReading = false;
  #isAway = false;
  #last: Uint8Array | undefined;
  #closed = false;

  constructor(firefly: Firefly) {
    this.#firefly = firefly;
  }

  /** How many pages are open. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Answers with a stream of events, until it is closed. */
  stream(request: Request): Response {
    if (this.#closed || this.#streams.size >= MAX_STREAMS) {
      return new Response("Try again later\n", { status: 503, headers: { "retry-after": "10" } });
    }
    if (request.method === "HEAD") return new Response(null, { headers: HEADERS });
    let own: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        this.#streams.add(controller);
        controller.enqueue(encode("retry: 3000\n\n"));
        if (this.#last && this.#timer !== undefined) controller.enqueue(this.#last);
        void this.#read();
      },
      cancel: () => this.#remove(own),
    });
    return new Response(body, { headers: HEADERS });
  }

  /** Ends all streams, and the reading for them. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#streams]) this.#end(stream);
  }

  /** Reads once, and again after a while if a page is open then. */
  async #read(): Promise<void> {
    if (this.#isReading || this.#timer !== undefined) return;
    this.#isReading = true;
    const event = await this.#nextEvent();
    this.#isReading = false;
    this.#send(event);
    if (this.#streams.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#read();
    }, INTERVAL);
  }

  async #nextEvent(): Promise<Uint8Array> {
    try {
      const { pulse } = await openPage(this.#firefly);
      this.#isAway = false;
      return encodePulse(pulse);
    } catch (error) {
      if (!this.#isAway) this.#firefly.events.emit("dashboard.error", { path: "/pulse", error });
      this.#isAway = true;
      return encode("event: away\ndata:\n\n");
    }
  }

  #send(event: Uint8Array): void {
    this.#last = event;
    for (const stream of [...this.#streams]) {
      // Some servers do not report that a page is gone: it does not read what it is sent.
      if ((stream.desiredSize ?? 0) < -MAX_UNREAD) this.#end(stream);
      else stream.enqueue(event);
    }
  }

  #end(stream: ReadableStreamDefaultController<Uint8Array>): void {
    if (!this.#streams.has(stream)) return;
    this.#remove(stream);
    stream.close();
  }

  #remove(stream: ReadableStreamDefaultController<Uint8Array>): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function encodePulse({ now, change }: Pulse): Uint8Array {
  return encode(`event: pulse\ndata: ${JSON.stringify({ now, change })}\n\n`);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
