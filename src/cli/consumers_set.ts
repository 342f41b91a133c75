import { setTimeout as sleep } from "node:timers/promises";
import type { Firefly } from "../firefly/firefly.ts";
import { readUnansweredConcurrency, requestConcurrency } from "../store/concurrency.ts";
import { deliversAlerts } from "../store/alerts.ts";
import type { ConsumerState } from "../store/consumer_records.ts";
import { didYouMean } from "../suggest.ts";
import { type Arguments, usageError } from "./arguments.ts";
import { EXIT } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";

/** How long to wait until the consumers have taken the change over, in milliseconds: without notifications, a third of their lease. */
const LONGEST_WAIT = 12_000;
const PAUSE = 50;

/** `consumers set`: changes how many tasks live consumers run at a time. Returns the exit code. */
export async function setConcurrency(ff: Firefly, args: Arguments, terminal: Terminal): Promise<number> {
  const [, ...named] = args.positionals;
  const concurrency = args.integer("concurrency", 1);
  if (named.length === 0) {
    throw usageError("consumers", "a consumer is missing: consumers set <consumer> --concurrency 20");
  }
  if (concurrency === undefined) throw usageError("consumers", "set needs --concurrency <number>");
  const live = (await ff.consumers()).filter(({ state }) => state === "live");
  const missing = named.find((word) => !live.some((consumer) => isMeant(consumer, word)));
  if (missing !== undefined) {
    const known = live.flatMap(({ name, host, pid }) => [...(name === null ? [] : [name]), `${host}:${pid}`]);
    terminal.printError(`There is no live consumer "${missing}"${didYouMean(missing, known)}`);
    return EXIT.noSuchTask;
  }
  const chosen = live.filter((consumer) => named.some((word) => isMeant(consumer, word)));
  const { database: { sql } } = await ff.connect();
  const asked = await requestConcurrency(sql, chosen.map(({ id }) => id), concurrency);
  const waiting = await untilTaken(ff, asked);
  for (const consumer of chosen) {
    const isTaken = asked.includes(consumer.id) && !waiting.includes(consumer.id);
    if (terminal.json) await terminal.printJson({ ...fieldsOf(consumer), concurrency, changed: isTaken });
    else await terminal.print(describeChange(consumer, { concurrency, isTaken }));
  }
  return EXIT.done;
}

/** Whether a word on the command line means a consumer: by its name, host, process or id. */
function isMeant(consumer: ConsumerState, word: string): boolean {
  const { id, name, host, pid } = consumer;
  if (name === word || id === word) return true;
  // A process stands for the consumers of its tasks, not for the one that delivers its alerts.
  return !deliversAlerts(consumer) && [host, `${host}:${pid}`, String(pid)].includes(word);
}

/** Waits until consumers have taken the change over; resolves to those that have not in time. */
async function untilTaken(ff: Firefly, asked: string[]): Promise<string[]> {
  const { database: { sql } } = await ff.connect();
  const end = performance.now() + LONGEST_WAIT;
  let waiting = asked;
  while (waiting.length > 0 && performance.now() < end) {
    await sleep(PAUSE);
    waiting = await readUnansweredConcurrency(sql, waiting);
  }
  return waiting;
}

function fieldsOf({ id, name, host, pid, concurrency }: ConsumerState): object {
  return { id, name, host, pid, before: concurrency };
}

function describeChange(
  { name, host, pid, concurrency: before }: ConsumerState,
  { concurrency, isTaken }: { concurrency: number; isTaken: boolean },
): string {
  const who = name === null ? `${host}:${pid}` : `${name} (${host}:${pid})`;
  return isTaken
    ? `${who} runs up to ${concurrency} at a time, not ${before}`
    : `${who} is to run up to ${concurrency} at a time, but has not answered yet: it looks again when it renews its lease`;
}
