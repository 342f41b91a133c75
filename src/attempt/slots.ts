/** The slots of a consumer: one for each handler that may run at a time. The claim loop fills those that are free. */
export class Slots {
  /** How many there are. With fewer than are taken, none is free until as many have been given back. */
  count: number;
  #taken = 0;
  /** Called when there may be room for more: a slot is free, or a task that had left its slot is settled. */
  onRoom: () => void = () => {};
  /** Called when a task was settled that is due again after so many seconds. */
  onDelayed: (seconds: number) => void = () => {};

  constructor(count: number) {
    this.count = count;
  }

  /** How many slots are free. */
  get free(): number {
    return this.count - this.#taken;
  }

  /** How many slots are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes a slot. */
  take(): void {
    this.#taken++;
  }

  /** Gives a slot back. */
  giveBack(): void {
    this.#taken--;
    this.onRoom();
  }
}
