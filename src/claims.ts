import { Attempt, type AttemptEnvironment, type Ending } from "./attempt.ts";
import type { TaskDefinition } from "./definition.ts";
import { LeaseLost } from "./errors.ts";
import type { ClaimedTask } from "./store/claim.ts";
import { readLeases } from "./store/consumers.ts";
import { deleteLeases, readClaims } from "./store/settle.ts";

/** What the claims of a consumer need of it. */
export interface ClaimsOwner {
  readonly env: AttemptEnvironment;
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  /** Called when a slot is free again. */
  onFree(): void;
  /** Called when something failed that is tried again. */
  onError(action: string, error: unknown): void;
}

/** The tasks that a consumer holds: claimed and not begun, in a slot, or being settled. */
export class Claims {
  readonly #owner: ClaimsOwner;
  readonly #env: AttemptEnvironment;
  /** Not begun, most urgent first, but a suspect before all others. */
  readonly #buffer: ClaimedTask[] = [];
  /** Begun, and not settled. */
  readonly #running = new Map<Attempt, Promise<void>>();
  /** Begun, and in a slot: the handler is not done. */
  readonly #busy = new Set<Attempt>();
  /** How the attempts ended. */
  readonly endings: Record<Ending, number> = { completed: 0, failed: 0, retried: 0, returned: 0, lost: 0 };
  /** How many attempts were begun. */
  begun = 0;

  constructor(owner: ClaimsOwner) {
    this.#owner = owner;
    this.#env = owner.env;
  }

  /** How many tasks have not begun. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** How many handlers run. */
  get busy(): number {
    return this.#busy.size;
  }

  /** Whether a suspect is among them. */
  get hasSuspect(): boolean {
    return this.#held().some(({ suspect }) => suspect);
  }

  /** Whether nothing is held, and nothing left to settle. */
  get isEmpty(): boolean {
    return this.#buffer.length === 0 && this.#running.size === 0 && this.#env.settler.unsettled === 0;
  }

  /** Takes over what a claim has brought. */
  add(tasks: ClaimedTask[]): void {
    const counts = new Map<string, number>();
    for (const { leaseId } of tasks) counts.set(leaseId, (counts.get(leaseId) ?? 0) + 1);
    for (const [leaseId, count] of counts) this.#env.settler.open(leaseId, count);
    // A suspect begins at once: the death of its consumer counts against it.
    this.#buffer.unshift(...tasks.filter(({ suspect }) => suspect));
    this.#buffer.push(...tasks.filter(({ suspect }) => !suspect));
  }

  /** Begins the next task; false if there is none. */
  beginNext(): boolean {
    const task = this.#buffer.shift();
    if (!task) return false;
    const attempt = new Attempt(task, this.#owner.definitions.get(task.funcName)!, this.#env);
    this.begun++;
    this.#busy.add(attempt);
    const end = attempt.run(() => this.#freeSlot(attempt)).then((ending) => {
      this.endings[ending]++;
      this.#running.delete(attempt);
      this.#freeSlot(attempt);
    });
    this.#running.set(attempt, end);
    return true;
  }

  /** Resolves when everything that was begun is settled. */
  async ended(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** Aborts every attempt. */
  abort(reason: Error): void {
    for (const attempt of this.#running.keys()) attempt.abort(reason);
  }

  /** Keeps the transactions of attempts alive. */
  ping(): void {
    for (const attempt of this.#running.keys()) attempt.ping();
  }

  /** Aborts attempts, and forgets claims, that were cancelled, rescued or deleted under way. */
  async dropLost(): Promise<void> {
    const held = this.#held();
    if (held.length === 0) return;
    const states = await readClaims(this.#env.sql, held.map(({ id }) => id));
    for (const task of held) {
      const state = states.get(task.id);
      if (state?.claimSeq !== task.claimSeq) {
        this.#drop(task, state?.status === "cancelled" ? "was cancelled" : "was taken away");
      }
    }
  }

  /**
   * Gives back claims that are the consumer's by the database and that it knows nothing of: their reply was lost.
   * `claiming` tells the leases of a claim under way.
   */
  async returnForgotten(consumerId: string, claiming: () => readonly string[]): Promise<void> {
    const { sql, settler } = this.#env;
    const before = claiming();
    for (const lease of await readLeases(sql, consumerId)) {
      if (before.includes(lease.id) || claiming().includes(lease.id)) continue;
      const inHand = new Set(this.#held().map(({ id }) => id));
      const forgotten = lease.claims.filter(({ id }) => !inHand.has(id));
      await Promise.all(forgotten.map((claim) => this.#return({ ...claim, leaseId: "" })));
      if (!settler.holds(lease.id)) await deleteLeases(sql, [lease.id]);
    }
  }

  /** Lets go of everything: others may run it from now on, and what nobody took is found by the next renewal. */
  expire(reason: Error): void {
    for (const { leaseId } of this.#held()) this.#env.settler.forget(leaseId);
    this.#buffer.length = 0;
    this.abort(reason);
  }

  /** Hands back what has not begun. */
  async handBack(): Promise<void> {
    await Promise.all(this.#buffer.splice(0).map((task) => this.#return(task)));
  }

  #held(): ClaimedTask[] {
    return [...this.#buffer, ...[...this.#running.keys()].map(({ task }) => task)];
  }

  #freeSlot(attempt: Attempt): void {
    this.#busy.delete(attempt);
    this.#owner.onFree();
  }

  #drop(task: ClaimedTask, what: string): void {
    const place = this.#buffer.indexOf(task);
    if (place >= 0) {
      this.#buffer.splice(place, 1);
      this.#env.settler.release(task.leaseId);
      return;
    }
    for (const attempt of this.#running.keys()) {
      if (attempt.task === task) attempt.abort(new LeaseLost(`Task ${task.id} ${what}`));
    }
  }

  /** Hands one task back that never began, uncounted and in its old place in the order. */
  async #return({ id, claimSeq, leaseId }: Pick<ClaimedTask, "id" | "claimSeq" | "leaseId">): Promise<void> {
    const outcome = { id, claimSeq, returned: null, error: null, began: null, delay: null };
    try {
      await this.#env.settler.settle({ leaseId }, { ...outcome, status: "created", counts: "snooze" });
    } catch (error) {
      this.#owner.onError(`hand back task ${id}`, error);
    }
  }
}
