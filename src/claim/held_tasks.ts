import { Attempt } from "../attempt/attempt.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { type AttemptOutcome, leaseLostError } from "../settle/outcome_events.ts";
import { LeaseLost } from "../errors.ts";
import type { Outages } from "../outages.ts";
import { areParamsLoaded, loadParams } from "../attempt/load_params.ts";
import { coarseNow } from "../attempt/clock.ts";
import type { HeldTask } from "../settle/settle_statements.ts";
import { countByBatch } from "../settle/settler.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { readBatches } from "../store/consumers.ts";
import { requeueForLimits } from "../store/limits.ts";
import { readPaused } from "../store/queues.ts";
import { deleteBatches, readClaims } from "../store/settle.ts";
import type { Admission } from "./admission.ts";
import { needsKeys, partitionByLimits } from "./limit_check.ts";

/** The tasks that a consumer holds: claimed and not begun, in a slot, or being settled. */
export class HeldTasks {
  readonly #env: AttemptEnvironment;
  readonly #admission: Admission;
  readonly #outages: Outages;
  /** Not begun, the most urgent last, and a quarantined task after all others: to take the last moves no other. */
  #buffer: Attempt[] = [];
  /** Begun and not settled, without those that ended as soon as they began: the settler has these. */
  readonly #running = new Set<Attempt>();
  /** How many attempts are begun and not settled. */
  #open = 0;
  /** Resolves when no attempt runs any more; undefined unless awaited. */
  #idle: PromiseWithResolvers<void> | undefined;
  /** How many attempts ended with each outcome. */
  readonly outcomes: Record<AttemptOutcome, number> = {
    completed: 0,
    failed: 0,
    retried: 0,
    snoozed: 0,
    suspended: 0,
    returned: 0,
    cancelled: 0,
    lost: 0,
  };
  /** How many attempts were begun. */
  begun = 0;

  constructor(
    env: AttemptEnvironment,
    { admission, outages }: { readonly admission: Admission; readonly outages: Outages },
  ) {
    this.#env = env;
    this.#admission = admission;
    this.#outages = outages;
  }

  /** How many tasks have not begun. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Whether a quarantined task is among them. */
  get hasQuarantined(): boolean {
    // One that has not begun comes before all others.
    if (this.#buffer.at(-1)?.task.quarantined) return true;
    for (const { task } of this.#running) if (task.quarantined) return true;
    return false;
  }

  /** Whether nothing is held, and no outcome waits to be settled. */
  get isEmpty(): boolean {
    return this.#buffer.length === 0 && this.#open === 0 && this.#env.settler.unsettled === 0;
  }

  /** Takes over claimed tasks; sends limited tasks without slots to their limit queues. */
  async add(tasks: ClaimedTask[]): Promise<void> {
    for (const [batchId, count] of countByBatch(tasks)) this.#env.settler.track(batchId, count);
    const { config: { definitions }, keys } = this.#env;
    const withParams = await this.#withKeyParams(tasks);
    const { runnable, unadmitted, keyErrors } = partitionByLimits(withParams, { definitions, keys });
    const attempts = runnable.map((task) => {
      const definition = definitions.get(task.funcName)!;
      const fails = keyErrors.size > 0 && keyErrors.has(task);
      return new Attempt(task, fails ? failing(definition, keyErrors.get(task)) : definition, this.#env);
    }).reverse();
    // A quarantined task begins at once: a crash of its consumer counts against it.
    const urgent = attempts.filter(({ task }) => task.quarantined);
    const others = urgent.length > 0 ? attempts.filter(({ task }) => !task.quarantined) : attempts;
    this.#buffer = [...others, ...this.#buffer, ...urgent];
    if (unadmitted.length > 0) await this.#requeueForLimits(unadmitted);
  }

  /** Begins the next tasks, as long as `mayBegin` returns true of the time now, by `coarseNow()`. */
  beginNext(mayBegin: (now: number) => boolean): void {
    while (this.#buffer.length > 0 && mayBegin(coarseNow())) {
      const attempt = this.#next();
      const { id, rateKey } = attempt.task;
      if (rateKey !== null) this.#admission.onStarted(id, rateKey);
      attempt.start(this.#onEnded);
      // A quarantined one must be found even after it has given its slot back.
      if (attempt.inSlot || attempt.task.quarantined) this.#running.add(attempt);
    }
  }

  #next(): Attempt {
    this.begun++;
    this.#open++;
    return this.#buffer.pop()!;
  }

  /** One function for all attempts: none is made for each. */
  readonly #onEnded = (attempt: Attempt, outcome: AttemptOutcome): void => {
    this.outcomes[outcome]++;
    this.#env.statistics?.count(attempt, outcome);
    this.#running.delete(attempt);
    if (--this.#open === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
  };

  /** Resolves when everything that was begun is settled. */
  async settled(): Promise<void> {
    while (this.#open > 0) await (this.#idle ??= Promise.withResolvers()).promise;
  }

  /** Aborts every attempt. */
  abort(reason: Error): void {
    for (const attempt of this.#running) attempt.abort(reason);
  }

  /** Keeps the transactions of attempts alive. */
  ping(): void {
    for (const attempt of this.#running) attempt.ping();
  }

  /** Aborts attempts, and drops claims, whose task was cancelled, rescued or deleted meanwhile. */
  async discardLost(): Promise<void> {
    const held = this.#tasks();
    if (held.length === 0) return;
    const states = await readClaims(this.#env.sql, held.map(({ id }) => id));
    const still = new Set(this.#tasks());
    for (const task of held) {
      if (!still.has(task)) continue;
      const state = states.get(task.id);
      if (state?.claimSeq !== task.claimSeq) {
        this.#drop(task, leaseLostError(task.id, state));
      }
    }
  }

  /**
   * Reconciles what the consumer holds with its batches in the database. Releases claims that the database has and this
   * consumer does not: their reply was lost. Drops tasks whose batch is gone: a crash of the server may undo a claim, as
   * claims do not wait for the disk, and another consumer may hold the task by now. `claiming` returns the batches of a
   * claim that is in progress.
   */
  async reconcile(consumerId: string, claiming: () => readonly string[]): Promise<void> {
    const { sql, settler } = this.#env;
    const [before, held] = [claiming(), this.#tasks()];
    const batches = await readBatches(sql, consumerId);
    const known = new Set(batches.map(({ id }) => id));
    const undone = new Set(held.filter(({ batchId }) => settler.isTracked(batchId) && !known.has(batchId)));
    for (const task of this.#tasks()) {
      if (undone.has(task)) this.#drop(task, new LeaseLost(`The claim of task ${task.id} was undone by the server`));
    }
    for (const batch of batches) {
      if (before.includes(batch.id) || claiming().includes(batch.id)) continue;
      const inHand = new Set([...this.#tasks().map(({ id }) => id), ...settler.unsettledIds()]);
      const notHeld = batch.claims.filter(({ id }) => !inHand.has(id));
      await Promise.all(notHeld.map((claim) => this.#return({ ...claim, batchId: "" })));
      if (!settler.isTracked(batch.id)) await deleteBatches(sql, [batch.id]);
    }
  }

  /** Drops everything: other consumers may run it from now on. The next renewal finds what none of them took. */
  expire(reason: Error): void {
    this.#env.settler.untrackAll();
    this.#buffer = [];
    this.abort(reason);
  }

  /** Returns tasks that have not begun: all of them, or those of `queues`. */
  async release(queues?: readonly string[]): Promise<void> {
    const isReturned = ({ task: { queue } }: Attempt) => queues === undefined || queues.includes(queue);
    const returned = this.#buffer.filter(isReturned);
    this.#buffer = this.#buffer.filter((attempt) => !isReturned(attempt));
    await Promise.all(returned.map(({ task }) => this.#return(task)));
  }

  /** Returns tasks that have not begun and whose queue was paused since they were claimed. */
  async releasePaused(): Promise<void> {
    const queues = [...new Set(this.#buffer.map(({ task: { queue } }) => queue))];
    if (queues.length > 0) await this.release(await readPaused(this.#env.sql, queues));
  }

  /** Loads the params that the keys of limits depend on. Returns tasks whose params cannot be loaded now, and drops them. */
  async #withKeyParams(tasks: ClaimedTask[]): Promise<ClaimedTask[]> {
    const missing = new Set<ClaimedTask>();
    for (const task of tasks) {
      if (areParamsLoaded(task) || !needsKeys(task, this.#env.config.definitions.get(task.funcName)!)) continue;
      await loadParams(task, this.#env).catch(() => missing.add(task));
    }
    for (const task of missing) void this.#return(task);
    return missing.size > 0 ? tasks.filter((task) => !missing.has(task)) : tasks;
  }

  async #requeueForLimits(tasks: ClaimedTask[]): Promise<void> {
    const { sql, settler } = this.#env;
    try {
      const requeued = await requeueForLimits(sql, tasks);
      for (const task of tasks) {
        if (requeued.has(task.id)) settler.untrackTask(task);
        else void this.#return(task); // it is lost, or another transaction has locked its record
      }
    } catch (error) {
      // The next renewal finds their state.
      for (const { batchId } of tasks) settler.untrackOne(batchId);
      throw error;
    }
  }

  /** The tasks to drop if their claim is lost: the settler finds the loss of those that it has. */
  #tasks(): ClaimedTask[] {
    return [...this.#buffer, ...this.#running].map(({ task }) => task);
  }

  #drop(task: ClaimedTask, reason: LeaseLost): void {
    const place = this.#buffer.findIndex((attempt) => attempt.task === task);
    if (place >= 0) {
      this.#buffer.splice(place, 1);
      this.#env.settler.untrackTask(task);
      return;
    }
    for (const attempt of this.#running) {
      if (attempt.task === task) attempt.abort(reason);
    }
  }

  /** Returns one task that never began to its queue, uncounted and in its old place in the order. */
  async #return(task: Pick<ClaimedTask, "id" | "claimSeq"> & HeldTask): Promise<void> {
    const { id, claimSeq } = task;
    const outcome = { id, claimSeq, returned: null, error: null, began: null, delay: null };
    try {
      await this.#env.settler.settle(task, { ...outcome, status: "created", counts: "snooze" });
    } catch (error) {
      this.#outages.report(`return task ${id}`, error);
    }
  }
}

/** A definition whose handler throws `error`. */
function failing(definition: TaskDefinition, error: unknown): TaskDefinition {
  return {
    ...definition,
    handler() {
      throw error;
    },
  };
}
