import { Attempt, type AttemptOwner } from "../attempt/attempt.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { type AttemptOutcome, leaseLostError } from "../settle/outcome_events.ts";
import { LeaseLost } from "../errors.ts";
import { areParamsLoaded, loadParams } from "../attempt/load_params.ts";
import type { HeldTask } from "../settle/settler.ts";
import type { ClaimedTask } from "../store/claim.ts";
import { readBatches } from "../store/consumers.ts";
import { requeueForLimits } from "../store/limits.ts";
import { readPaused } from "../store/queues.ts";
import { deleteBatches, readClaims } from "../store/settle.ts";
import { needsKeys, partitionByLimits } from "./limit_check.ts";

/** What the claims of a consumer need of it. */
export interface HeldTasksOwner {
  readonly env: AttemptEnvironment;
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  /** Called when a task begins. */
  onBegin(task: ClaimedTask): void;
  /** Called when a slot is free again. */
  onFree(): void;
  /** Called when something failed that is tried again. */
  onError(action: string, error: unknown): void;
}

/** The tasks that a consumer holds: claimed and not begun, in a slot, or being settled. */
export class HeldTasks implements AttemptOwner {
  readonly #owner: HeldTasksOwner;
  readonly #env: AttemptEnvironment;
  /** Not begun, most urgent first, but a quarantined task before all others. */
  readonly #buffer: ClaimedTask[] = [];
  /** Begun, and not settled. */
  readonly #running = new Set<Attempt>();
  /** How many of these are in a slot: the handler is not done. */
  #busy = 0;
  /** Resolves when nothing runs any more; undefined while nobody waits for that. */
  #idle: PromiseWithResolvers<void> | undefined;
  /** Tasks that cannot be run, with the reason. */
  readonly #mistakes = new WeakMap<ClaimedTask, unknown>();
  /** How the attempts ended. */
  readonly endings: Record<AttemptOutcome, number> = {
    completed: 0,
    failed: 0,
    retried: 0,
    returned: 0,
    cancelled: 0,
    lost: 0,
  };
  /** How many attempts were begun. */
  begun = 0;

  constructor(owner: HeldTasksOwner) {
    this.#owner = owner;
    this.#env = owner.env;
  }

  /** How many tasks have not begun. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** How many handlers run. */
  get busy(): number {
    return this.#busy;
  }

  /** Whether a quarantined task is among them. */
  get hasQuarantined(): boolean {
    // One that has not begun stands before all others.
    if (this.#buffer[0]?.quarantined) return true;
    for (const { task } of this.#running) if (task.quarantined) return true;
    return false;
  }

  /** Whether nothing is held, and nothing left to settle. */
  get isEmpty(): boolean {
    return this.#buffer.length === 0 && this.#running.size === 0 && this.#env.settler.unsettled === 0;
  }

  /** Takes over what a claim has brought; limited tasks without slots are sent to wait for them. */
  async add(tasks: ClaimedTask[]): Promise<void> {
    const counts = new Map<string, number>();
    for (const { batchId } of tasks) counts.set(batchId, (counts.get(batchId) ?? 0) + 1);
    for (const [batchId, count] of counts) this.#env.settler.track(batchId, count);
    // A quarantined task begins at once: the death of its consumer counts against it.
    const { runnable, unadmitted, mistakes } = partitionByLimits(await this.#withKeyParams(tasks), {
      definitions: this.#owner.definitions,
      keys: this.#env.keys,
    });
    for (const [task, mistake] of mistakes) this.#mistakes.set(task, mistake);
    this.#buffer.unshift(...runnable.filter(({ quarantined }) => quarantined));
    this.#buffer.push(...runnable.filter(({ quarantined }) => !quarantined));
    if (unadmitted.length > 0) await this.#requeueForLimits(unadmitted);
  }

  /** Begins the next task; false if there is none. */
  beginNext(): boolean {
    const task = this.#buffer.shift();
    if (!task) return false;
    const attempt = new Attempt(task, this.#definitionOf(task), this.#env);
    this.#owner.onBegin(task);
    this.begun++;
    this.#busy++;
    this.#running.add(attempt);
    attempt.start(this);
    return true;
  }

  /** An attempt needs its slot no more. */
  onHandled(): void {
    this.#busy--;
    this.#owner.onFree();
  }

  /** An attempt is over. */
  onEnded(attempt: Attempt, ending: AttemptOutcome): void {
    this.endings[ending]++;
    if (attempt.inSlot) this.#busy--;
    this.#running.delete(attempt);
    if (this.#running.size === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
    this.#owner.onFree();
  }

  /** Resolves when everything that was begun is settled. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await (this.#idle ??= Promise.withResolvers()).promise;
  }

  /** Aborts every attempt. */
  abort(reason: Error): void {
    for (const attempt of this.#running) attempt.abort(reason);
  }

  /** Keeps the transactions of attempts alive. */
  ping(): void {
    for (const attempt of this.#running) attempt.ping();
  }

  /** Aborts attempts, and forgets claims, that were cancelled, rescued or deleted under way. */
  async discardLost(): Promise<void> {
    const held = this.#held();
    if (held.length === 0) return;
    const states = await readClaims(this.#env.sql, held.map(({ id }) => id));
    const still = new Set(this.#held());
    for (const task of held) {
      if (!still.has(task)) continue;
      const state = states.get(task.id);
      if (state?.claimSeq !== task.claimSeq) {
        this.#drop(task, leaseLostError(task.id, state));
      }
    }
  }

  /**
   * Compares what the consumer holds with its leases in the database. Claims that are there and that it knows nothing of
   * it gives back: their reply was lost. What it holds by a lease that is not there it lets go of: a crash of the server
   * may undo a claim, since claims do not wait for the disk, and another consumer may have the task by now. `claiming`
   * tells the leases of a claim under way.
   */
  async compare(consumerId: string, claiming: () => readonly string[]): Promise<void> {
    const { sql, settler } = this.#env;
    const [before, held] = [claiming(), this.#held()];
    const leases = await readBatches(sql, consumerId);
    const known = new Set(leases.map(({ id }) => id));
    const undone = new Set(held.filter(({ batchId }) => settler.isTracked(batchId) && !known.has(batchId)));
    for (const task of this.#held()) {
      if (undone.has(task)) this.#drop(task, new LeaseLost(`The claim of task ${task.id} was undone by the server`));
    }
    for (const lease of leases) {
      if (before.includes(lease.id) || claiming().includes(lease.id)) continue;
      const inHand = new Set(this.#held().map(({ id }) => id));
      const forgotten = lease.claims.filter(({ id }) => !inHand.has(id));
      await Promise.all(forgotten.map((claim) => this.#return({ ...claim, batchId: "" })));
      if (!settler.isTracked(lease.id)) await deleteBatches(sql, [lease.id]);
    }
  }

  /** Lets go of everything: others may run it from now on, and what nobody took is found by the next renewal. */
  expire(reason: Error): void {
    for (const { batchId } of this.#held()) this.#env.settler.untrack(batchId);
    this.#buffer.length = 0;
    this.abort(reason);
  }

  /** Hands back what has not begun: all of it, or what belongs to these queues. */
  async release(queues?: readonly string[]): Promise<void> {
    const kept = queues ? this.#buffer.filter(({ queue }) => !queues.includes(queue)) : [];
    const returned = this.#buffer.filter((task) => !kept.includes(task));
    this.#buffer.splice(0, Infinity, ...kept);
    await Promise.all(returned.map((task) => this.#return(task)));
  }

  /** Hands back what has not begun of queues that were paused since it was claimed. */
  async dropPaused(): Promise<void> {
    const queues = [...new Set(this.#buffer.map(({ queue }) => queue))];
    if (queues.length > 0) await this.release(await readPaused(this.#env.sql, queues));
  }

  #definitionOf(task: ClaimedTask): TaskDefinition {
    const definition = this.#owner.definitions.get(task.funcName)!;
    if (!this.#mistakes.has(task)) return definition;
    const fail = () => {
      throw this.#mistakes.get(task);
    };
    return { ...definition, handler: fail };
  }

  /** The tasks without those whose limits' keys cannot be told, as their params cannot be had now: these go back. */
  async #withKeyParams(tasks: ClaimedTask[]): Promise<ClaimedTask[]> {
    const missing = new Set<ClaimedTask>();
    for (const task of tasks) {
      if (areParamsLoaded(task) || !needsKeys(task, this.#definitionOf(task))) continue;
      await loadParams(task, this.#env).catch(() => missing.add(task));
    }
    for (const task of missing) void this.#return(task);
    return missing.size > 0 ? tasks.filter((task) => !missing.has(task)) : tasks;
  }

  async #requeueForLimits(tasks: ClaimedTask[]): Promise<void> {
    const { sql, settler } = this.#env;
    try {
      const sent = await requeueForLimits(sql, tasks);
      for (const task of tasks) {
        if (sent.has(task.id)) settler.untrackTask(task);
        else void this.#return(task); // it is lost, or somebody has its record locked
      }
    } catch (error) {
      // What became of them is found by the next renewal.
      for (const { batchId } of tasks) settler.untrackOne(batchId);
      throw error;
    }
  }

  #held(): ClaimedTask[] {
    return [...this.#buffer, ...[...this.#running].map(({ task }) => task)];
  }

  #drop(task: ClaimedTask, reason: LeaseLost): void {
    const place = this.#buffer.indexOf(task);
    if (place >= 0) {
      this.#buffer.splice(place, 1);
      this.#env.settler.untrackTask(task);
      return;
    }
    for (const attempt of this.#running) {
      if (attempt.task === task) attempt.abort(reason);
    }
  }

  /** Hands one task back that never began, uncounted and in its old place in the order. */
  async #return(task: Pick<ClaimedTask, "id" | "claimSeq"> & HeldTask): Promise<void> {
    const { id, claimSeq } = task;
    const outcome = { id, claimSeq, returned: null, error: null, began: null, delay: null };
    try {
      await this.#env.settler.settle(task, { ...outcome, status: "created", counts: "snooze" });
    } catch (error) {
      this.#owner.onError(`hand back task ${id}`, error);
    }
  }
}
