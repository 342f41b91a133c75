import { Firefly } from "../../mod.ts";
import { LEASE, SoakConsumer } from "./consumers.ts";
import { ask, insist, makeDatabase, type SoakDatabase } from "./database.ts";
import type { Evidence, Row } from "./evidence.ts";
import { inflict } from "./inflict.ts";
import { openLedger, readAccount, readLatencies } from "./ledger.ts";
import { Load } from "./load.ts";
import type { SoakOptions } from "./options.ts";
import { divide, type Division, isCalm, planFaults, type PlannedFault } from "./plan.ts";
import { type Sample, type ServerSample, takeSample } from "./probe.ts";

/** Who is told what while it runs. */
export interface RunOptions {
  readonly options: SoakOptions;
  readonly out: string;
  /** Ends the load. */
  readonly signal: AbortSignal;
  /** Ends all of it, without a report. */
  readonly force: AbortSignal;
  onNote(text: string): void;
  onRow(row: Row): void;
}

/** How long what was put off may take in the end, in milliseconds. */
const TIMEOUT = 60_000;
/** How long connections may take to be as few as before, in milliseconds: idle ones are closed after 10 s. */
const REST = 25_000;

/** Soaks, and hands back all that was seen. Whatever happens, the processes and the database are gone then. */
export async function runSoak(request: RunOptions): Promise<Evidence> {
  const { options, out, onNote } = request;
  await using database = await makeDatabase(options);
  onNote(`PostgreSQL ${database.version}${database.server ? ", a server of the soak's own" : ""}`);
  const ff = new Firefly({ database: named(database.url, "scheduler") });
  const unhandled: string[] = [];
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(String(event.reason?.stack ?? event.reason));
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  const consumers: SoakConsumer[] = [];
  try {
    await ff.migrate();
    await openLedger(database.url);
    const division = divide(options.minutes);
    const interval = Math.min(5, division.period / 4) * 1000;
    for (let i = 1; i <= options.consumers; i++) {
      consumers.push(await SoakConsumer.start(`consumer-${i}`, { url: database.url, out, interval }));
    }
    const forced = new Promise<never>((_, reject) => {
      request.force.addEventListener("abort", () => reject(request.force.reason), { once: true });
    });
    const soak = new Soak({ ...request, database, ff, consumers, division, interval, unhandled });
    return await Promise.race([soak.run(), forced]);
  } finally {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    await Promise.all(consumers.map((consumer) => consumer.end(0)));
    await ff.close();
  }
}

interface Parts extends RunOptions {
  readonly database: SoakDatabase;
  readonly ff: Firefly;
  readonly consumers: SoakConsumer[];
  readonly division: Division;
  /** Milliseconds between two samples. */
  readonly interval: number;
  readonly unhandled: string[];
}

/** One run, from the first consumer that is ready to the last that has stopped. */
class Soak {
  readonly #parts: Parts;
  readonly #samples: Sample[] = [];
  readonly #rows: Row[] = [];
  readonly #faults: PlannedFault[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #start = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async run(): Promise<Evidence> {
    const { options, database, ff, consumers, division, onNote, unhandled } = this.#parts;
    await this.#untilReady();
    const before = await this.#atRest(Math.min(15_000, division.seconds * 50));
    const load = new Load(ff, database.url, options.seed);
    await this.#load(load);
    onNote("The load is over: waiting for what is under way");
    await Promise.all(this.#underWay);
    for (const consumer of consumers) consumer.heal();
    await load.settle(TIMEOUT);
    onNote("Nothing is under way any more: waiting until nothing is left");
    const left = await this.#untilEmpty();
    onNote(`Waiting for connections to be as few as before: ${connectionsOf(before)}`);
    const after = await this.#atRest(REST, before);
    const account = await insist(() => readAccount(database.url));
    const unasked = consumers.reduce((total, { unasked }) => total + unasked, 0);
    await Promise.all(consumers.splice(0).map((consumer) => consumer.end(20_000)));
    await ff.close();
    const final = await this.#untilAlone();
    return {
      options,
      version: database.version,
      division,
      start: this.#start,
      samples: this.#samples,
      rows: this.#rows,
      faults: this.#faults,
      counts: load.counts,
      before,
      after,
      left,
      final,
      account,
      unasked,
      unhandled,
    };
  }

  async #untilReady(): Promise<void> {
    const { database, consumers } = this.#parts;
    await insist(async () => {
      const [row] = await ask(database.url, (sql) => sql`SELECT count(*)::int AS live FROM firefly.consumer`);
      if (row!.live < consumers.length) throw new Error(`Cannot soak as only ${row!.live} consumers have started`);
    });
  }

  /** Samples while nothing goes on: for so long, or until connections are as few as they were before. */
  async #atRest(timeout: number, before?: Sample): Promise<Sample> {
    const until = performance.now() + timeout;
    for (;;) {
      await sleep(1000);
      const sample = await this.#sample();
      const isBack = before !== undefined && connectionsOf(sample) <= connectionsOf(before);
      if (isBack || performance.now() > until) return sample;
    }
  }

  async #load(load: Load): Promise<void> {
    const { options, division, signal, interval } = this.#parts;
    this.#start = Date.now();
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), division.seconds * 1000);
    const both = AbortSignal.any([end.signal, signal]);
    const work = load.run(options.rate, both);
    const faults = options.faults ? this.#makeFaults(both) : Promise.resolve();
    try {
      for (let row = 0; !both.aborted;) {
        await sleep(interval, both);
        this.#samples.push(await this.#sample());
        for (; this.#now() >= (row + 1) * division.period; row++) await this.#addRow(row);
      }
      await this.#addRow(this.#rows.length);
    } finally {
      clearTimeout(timer);
      end.abort();
      await Promise.all([work, faults]);
    }
  }

  async #makeFaults(signal: AbortSignal): Promise<void> {
    const { options: { seed, consumers, ownServer }, division, onNote } = this.#parts;
    for (const fault of planFaults(division, { seed, consumers, lease: LEASE, ownServer })) {
      await sleep(Math.max(0, fault.at - this.#now()) * 1000, signal);
      if (signal.aborted) return;
      this.#faults.push(fault);
      const over = insist(() => inflict(fault, this.#parts), 20_000)
        .catch((error) => onNote(`Cannot make the fault "${fault.kind}" happen: ${error}`))
        .finally(() => this.#underWay.delete(over));
      this.#underWay.add(over);
      if (fault.kind === "restart" || fault.kind === "crash") await over;
    }
  }

  async #addRow(index: number): Promise<void> {
    const { division: { period, seconds }, database, onRow } = this.#parts;
    const [from, to] = [index * period, Math.min((index + 1) * period, seconds, this.#now())];
    if (to - from < period / 10) return;
    // What came a moment after the last fault may still wait for a rescue.
    const settled = isCalm(index) ? from + Math.min(10, period / 6) : from;
    const times = [settled, to].map((seconds) => this.#start + seconds * 1000) as [number, number];
    const latencies = await insist(() => readLatencies(database.url, ...times));
    const within = ({ at }: { at: number }) => at >= from && at < to;
    const faults = this.#faults.filter(within).map(({ kind }) => kind);
    const row = { index, from, to, seconds: to - settled, faults, latencies, samples: this.#samples.filter(within) };
    this.#rows.push(row);
    onRow(row);
  }

  /** Resolves to the rows that are left where none may be; crons come all the time, so it looks until there are none. */
  async #untilEmpty(): Promise<Record<string, number>> {
    const until = performance.now() + TIMEOUT;
    for (;;) {
      const { server } = await this.#sample();
      const left = server && openRows(server);
      if (left && Object.values(left).every((count) => count === 0)) return left;
      if (performance.now() > until) return left ?? { "no answer": 1 };
      await sleep(100);
    }
  }

  /** Everybody has gone: so must their connections and their locks be. */
  async #untilAlone(): Promise<ServerSample | undefined> {
    const { database: { url } } = this.#parts;
    const until = performance.now() + 10_000;
    for (;;) {
      const { server } = await takeSample(url, this.#now(), []);
      if (server && server.locks === 0 && Object.keys(server.connections).length === 0) return server;
      if (performance.now() > until) return server;
      await sleep(200);
    }
  }

  async #sample(): Promise<Sample> {
    const { database: { url }, consumers } = this.#parts;
    const watched = consumers.flatMap((consumer) => consumer.watched ?? []);
    return await takeSample(url, this.#now(), [{ name: "scheduler", pid: Deno.pid }, ...watched]);
  }

  /** Seconds from the start of the load. */
  #now(): number {
    return this.#start === 0 ? 0 : (Date.now() - this.#start) / 1000;
  }
}

/** All connections of a sample; infinitely many if the server gave no answer. */
export function connectionsOf({ server }: Sample): number {
  return server ? Object.values(server.connections).reduce((total, count) => total + count, 0) : Infinity;
}

function openRows({ statuses, places }: ServerSample): Record<string, number> {
  const { result_waiter: _, ...others } = places; // removed an hour later if the waiting process was killed
  return { created: statuses.created ?? 0, ...others };
}

function named(url: string, application: string): string {
  const parsed = new URL(url);
  parsed.searchParams.set("application_name", application);
  return parsed.href;
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
  });
}
