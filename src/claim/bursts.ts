/** For how many milliseconds tasks begin before the event loop goes on: handlers that never wait would block all else. */
const BURST = 2;
/**
 * For how many milliseconds bursts follow each other as immediates. Deno may run 122 immediates before it looks at its
 * sockets: with handlers that compute for 20 ms, no reply would arrive for 2.4 s. A timer has it look, and costs 1 ms.
 */
const STRETCH = 8;

/** Divides the beginning of many tasks into bursts, so that statements and replies get through in between. */
export class Bursts {
  readonly #onNext: () => void;
  /** Until when tasks begin in this turn of the event loop; undefined if none has begun in it. */
  #end: number | undefined;
  /** Until when the next burst comes as an immediate; undefined if none follows another. */
  #stretchEnd: number | undefined;
  #isNextPlanned = false;

  /** @param onNext Begins the tasks of the next burst. */
  constructor(onNext: () => void) {
    this.#onNext = onNext;
  }

  /** Whether a task may begin in this turn of the event loop, at the time `now`; if so, it has to begin. */
  allows(now: number): boolean {
    return now < (this.#end ??= now + BURST);
  }

  /** Plans the next burst, if tasks have begun in this turn. */
  planNext(): void {
    if (this.#end === undefined || this.#isNextPlanned) return;
    this.#isNextPlanned = true;
    this.#stretchEnd ??= this.#end - BURST + STRETCH;
    if (performance.now() < this.#stretchEnd) return void setImmediate(this.#begin);
    this.#stretchEnd = undefined;
    setTimeout(this.#begin, 0);
  }

  readonly #begin = (): void => {
    this.#isNextPlanned = false;
    this.#end = undefined;
    this.#onNext();
    if (this.#end === undefined) this.#stretchEnd = undefined;
  };
}
