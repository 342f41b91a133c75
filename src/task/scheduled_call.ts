/** The tasks that a value stands for the results of: one, or those of a list. */
export interface ResultSource {
  /** The call that schedules them, while their ids are not known; they are the first `count` of it. */
  readonly call: ScheduledCall | undefined;
  /** The id of the one, where no call schedules it. */
  readonly id: number;
  /** How many they are, of a list. */
  readonly count: number | undefined;
  /** Whether any end of them will do. */
  readonly settled: boolean;
}

/** A call of `schedule()` or `scheduleMany()`, for the calls whose tasks depend on its tasks. */
export class ScheduledCall implements ResultSource {
  count: number | undefined;
  /** Resolves once its tasks are scheduled. */
  done: Promise<unknown> | undefined;
  /** Its tasks as they wait to be inserted together with those of other calls; undefined until they do. */
  tasks: readonly object[] | undefined;
  /** What inserts them then. */
  inserter: object | undefined;
  #scheduled: readonly { readonly id: string }[] | undefined;
  #onPlaced: (() => void)[] | undefined;

  /** `count` is the number of tasks of `scheduleMany()`. */
  constructor(count?: number) {
    this.count = count;
  }

  get call(): this {
    return this;
  }

  get id(): number {
    return 0;
  }

  get settled(): boolean {
    return false;
  }

  /** Says that `inserter` is about to insert its tasks. */
  place(tasks: readonly object[], inserter: object): void {
    this.tasks = tasks;
    this.inserter = inserter;
    if (this.#onPlaced) { for (const resume of this.#onPlaced) resume(); }
  }

  /** Says which tasks were scheduled. */
  complete(scheduled: readonly { readonly id: string }[]): void {
    this.#scheduled = scheduled;
  }

  /** The id of one of its tasks, once that is known. */
  idOf(index: number): number | undefined {
    return this.#scheduled && Number(this.#scheduled[index]!.id);
  }

  /** Whether it is known what inserts its tasks, or has inserted them. */
  get isPlaced(): boolean {
    return this.inserter !== undefined || this.#scheduled !== undefined;
  }

  /** Waits until it is known what inserts its tasks. */
  async whenPlaced(): Promise<void> {
    const placed = new Promise<void>((resolve) => (this.#onPlaced ??= []).push(resolve));
    await Promise.race([placed, this.done]);
  }
}
