import { setTimeout as sleep } from "node:timers/promises";
import { type CliOptions, type CliProcess, startCli } from "../support/process.ts";
import { until } from "../support/waiting.ts";
import type { Ledger } from "./ledger.ts";

const TASKS = new URL("./process_tasks.ts", import.meta.url).pathname;
/** The lease of every consumer in these faults, in milliseconds. */
export const LEASE = 2_000;

/** Starts a consumer that knows the tasks of these faults. */
export function startConsumer({ url }: Pick<Ledger, "url">, args: string[] = [], options: CliOptions = {}): CliProcess {
  const lease = ["--lease", `${LEASE / 1000}s`];
  return startCli(["consume", "--database", url, "--import", TASKS, ...lease, "--json", ...args], options);
}

/** Waits until `count` consumers are registered. */
export async function untilRegistered({ sql }: Ledger, count: number): Promise<void> {
  await until(async () => (await sql`SELECT FROM firefly.consumer WHERE lease_until > now()`).count >= count, 30_000);
}

/** The entries of a consumer's log about an event. */
export function entriesOf({ log }: CliProcess, ...events: string[]): Record<string, unknown>[] {
  const entries = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return entries.filter(({ event }) => events.includes(event));
}

/** Consumers in processes of their own. Whoever is killed is replaced at once. */
export class Fleet implements AsyncDisposable {
  readonly #ledger: Ledger;
  readonly #start: () => CliProcess;
  readonly #dead: CliProcess[] = [];
  readonly #stopped = new Set<CliProcess>();
  readonly members: CliProcess[];

  private constructor(ledger: Ledger, size: number, start: () => CliProcess) {
    this.#ledger = ledger;
    this.#start = start;
    this.members = Array.from({ length: size }, start);
  }

  /** Starts `size` consumers, and waits until all are registered. */
  static async start(
    ledger: Ledger,
    { size, args = [], root }: { size: number; args?: string[]; root?: string | undefined },
  ) {
    const fleet = new Fleet(ledger, size, () => startConsumer(ledger, args, { root }));
    try {
      await untilRegistered(ledger, size);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends a consumer as a crash would. */
  async kill(member: CliProcess): Promise<void> {
    await this.#note(member);
    member.kill("SIGKILL");
    this.#dead.push(member);
    this.members.splice(this.members.indexOf(member), 1, this.#start());
  }

  /** Stops a consumer for a while, as a laptop's lid or a busy hypervisor would. */
  async stop(member: CliProcess, ms: number): Promise<void> {
    await this.#note(member);
    this.#stopped.add(member);
    member.kill("SIGSTOP");
    await sleep(ms);
    member.kill("SIGCONT");
    this.#stopped.delete(member);
  }

  /** Whether it is stopped now. */
  isStopped(member: CliProcess): boolean {
    return this.#stopped.has(member);
  }

  async #note({ pid }: CliProcess): Promise<void> {
    await this.#ledger.sql`INSERT INTO interruption (pid, at) VALUES (${pid}, clock_timestamp())`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.members, ...this.#dead].map((member) => member[Symbol.asyncDispose]()));
  }
}
