/** How much of a fault is run: `short` among the tests, `full` by `deno task faults`. */
export type Scale = "short" | "full";

/** A program beside Firefly that a fault cannot be had without. */
export type Tool = "faketime" | "pgbouncer" | "pg_basebackup" | "mount";

/** A fault that must lose nothing, and what is measured of it. */
export interface Fault {
  /** Its number in the list of faults. */
  readonly number: number;
  /** What happens, in a few words. */
  readonly title: string;
  /** What it takes beside Firefly and a server. */
  readonly needs?: readonly Tool[];
  /** The test file that runs it among the tests, in full, so that the list of faults need not. */
  readonly testedBy?: string;
  /** Makes it happen, and writes down what came of it. */
  run(figures: Figures, scale: Scale): Promise<void>;
  /** The same without a protection: what is written down must show harm, else the fault proves nothing. */
  control?(figures: Figures, scale: Scale): Promise<void>;
}

/** One line of the table. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly bound: string;
  readonly pass: boolean;
}

/** What was measured of a fault, each with the bound that it must keep. */
export class Figures {
  readonly list: Figure[] = [];
  readonly #slack: number;
  readonly #checksSpeed: boolean;

  /**
   * @param options `slack`: by how much a machine that does other things at the same time may exceed the bounds of times.
   * `speed`: whether bounds of speed count, as they do on a machine that does nothing else.
   */
  constructor({ slack = 1, speed = true } = {}) {
    this.#slack = slack;
    this.#checksSpeed = speed;
  }

  /** Whether every bound was kept. */
  get pass(): boolean {
    return this.list.every(({ pass }) => pass);
  }

  /** A value that must be just this. */
  is(name: string, value: number | string | boolean, expected: typeof value): void {
    this.#add(name, String(value), String(expected), value === expected);
  }

  /** A count that must be at least this. */
  atLeast(name: string, value: number, least: number): void {
    this.#add(name, String(value), `≥ ${least}`, value >= least);
  }

  /** A count that must be at most this. */
  atMost(name: string, value: number, most: number): void {
    this.#add(name, String(value), `≤ ${most}`, value <= most);
  }

  /** A time in milliseconds that must be shorter than this. */
  within(name: string, milliseconds: number, limit: number): void {
    const bound = limit * this.#slack;
    this.#add(name, formatTime(milliseconds), `< ${formatTime(bound)}`, milliseconds < bound);
  }

  /** A time in milliseconds that says how fast something is, not whether it works: among the tests it has no bound. */
  speed(name: string, milliseconds: number, limit: number): void {
    if (this.#checksSpeed) this.within(name, milliseconds, limit);
  }

  #add(name: string, value: string, bound: string, pass: boolean): void {
    this.list.push({ name, value, bound, pass });
  }
}

/** The value that a share `part` of `values` does not exceed. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? NaN;
}

function formatTime(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds * 10) / 10} ms` : `${Math.round(milliseconds / 10) / 100} s`;
}

const PACKAGES: Record<Tool, string> = {
  faketime: "Debian's package faketime",
  pgbouncer: "Debian's package pgbouncer",
  pg_basebackup: "Debian's package postgresql",
  mount: "root, to mount a file system",
};

/** What is not there of what a fault needs, in words; undefined if nothing is missing. */
export async function missingFor({ needs = [] }: Pick<Fault, "needs">): Promise<string | undefined> {
  const found = await Promise.all(needs.map(async (tool) => [tool, await isThere(tool)] as const));
  const missing = found.filter(([, there]) => !there).map(([tool]) => PACKAGES[tool]);
  return missing.length > 0 ? missing.join(", ") : undefined;
}

/**
 * Whether tests must be left out here for want of a tool, of which a line tells. In CI none is: there they fail.
 */
export async function isLeftOut(what: string, fault: Pick<Fault, "needs">): Promise<boolean> {
  if (Deno.env.get("CI")) return false;
  const missing = await missingFor(fault);
  if (missing) console.warn(`${what}: left out, needs ${missing}`);
  return missing !== undefined;
}

async function isThere(tool: Tool): Promise<boolean> {
  if (tool === "mount") return Deno.build.os === "linux" && Deno.uid() === 0;
  const places = (Deno.env.get("PATH") ?? "").split(":").concat("/usr/sbin");
  if (tool === "pg_basebackup") {
    for await (const entry of directoryOf("/usr/lib/postgresql")) places.push(`/usr/lib/postgresql/${entry.name}/bin`);
  }
  for (const place of places) if (await Deno.stat(`${place}/${tool}`).then(() => true, () => false)) return true;
  return false;
}

async function* directoryOf(path: string): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* Deno.readDir(path);
  } catch {
    // There is none.
  }
}
