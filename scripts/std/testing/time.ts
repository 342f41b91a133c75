const real = {
  Date,
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  abortAfter: AbortSignal.timeout,
};

/** A misuse of {@linkcode FakeTime}. */
export class TimeError extends Error {
  /** The name of the class. */
  override name = "TimeError";
}

/** Options of {@linkcode FakeTime}. */
export interface FakeTimeOptions {
  /** Fake milliseconds that pass in a real one; 0 stands still. */
  advanceRate: number;
  /** Real milliseconds between two advances, by default 10. */
  advanceFrequency?: number;
}

/** Options of {@linkcode FakeTime.delay}. */
export interface DelayOptions {
  /** Rejects the delay once it aborts. */
  signal?: AbortSignal;
}

interface Timer {
  due: number;
  callback: () => void;
  /** Milliseconds between two runs of an interval. */
  every?: number;
}

let active: FakeTime | undefined;

/** Stands in for the clock and the timers until it is restored. */
export class FakeTime {
  /** The time at which it began, in milliseconds. */
  readonly start: number;
  #now: number;
  #timers = new Map<number, Timer>();
  #lastId = 0;
  #advance: ReturnType<typeof setInterval> | undefined;

  constructor(
    start?: number | string | Date | null,
    { advanceRate = 0, advanceFrequency = 10 }: FakeTimeOptions = { advanceRate: 0 },
  ) {
    if (active) throw new TimeError("Cannot fake time as it is faked already");
    this.start = new real.Date(start ?? real.Date.now()).getTime();
    if (Number.isNaN(this.start)) {
      throw new TypeError(`Cannot fake time as its start is invalid: ${start}`);
    }
    this.#now = this.start;
    active = this;
    this.#install();
    if (advanceRate > 0) {
      this.#advance = real.setInterval(
        () => this.tick(advanceRate * advanceFrequency),
        advanceFrequency,
      );
    }
  }

  /** Gives back the real time that is faked at present. */
  static restore(): void {
    if (!active) throw new TimeError("Cannot restore time as it is not faked");
    active.restore();
  }

  /** Calls `callback` under the real time. */
  static async restoreFor<T>(
    // deno-lint-ignore no-explicit-any
    callback: (...args: any[]) => Promise<T> | T,
    // deno-lint-ignore no-explicit-any
    ...args: any[]
  ): Promise<T> {
    if (!active) throw new TimeError("Cannot restore time as it is not faked");
    const faked = active;
    uninstall();
    try {
      return await callback(...args);
    } finally {
      faked.#install();
    }
  }

  /** The time, in milliseconds; setting it runs the timers due until then. */
  get now(): number {
    return this.#now;
  }
  set now(value: number) {
    if (value < this.#now) {
      throw new RangeError(
        `Cannot go back in time from ${this.#now}: ${value}`,
      );
    }
    let next = this.#nextTimer();
    while (next && next[1].due <= value) {
      const [id, timer] = next;
      this.#now = timer.due;
      this.#timers.delete(id);
      if (timer.every !== undefined) {
        this.#timers.set(id, { ...timer, due: timer.due + timer.every });
      }
      timer.callback();
      next = this.#nextTimer();
    }
    this.#now = value;
  }

  /** Lets `ms` pass. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** Runs what waits for a microtask, then lets `ms` pass. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
  }

  /** Goes to the next timer; returns whether there was one. */
  next(): boolean {
    const next = this.#nextTimer();
    if (next) this.now = next[1].due;
    return next !== undefined;
  }

  /** Runs what waits for a microtask, then goes to the next timer. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Goes on until no timer is left. */
  runAll(): void {
    while (this.next());
  }

  /** Goes on until no timer is left, running microtasks in between. */
  async runAllAsync(): Promise<void> {
    while (await this.nextAsync());
  }

  /** Runs what waits for a microtask. */
  async runMicrotasks(): Promise<void> {
    await this.delay(0);
  }

  /** Waits for `ms` of real time. */
  delay(ms: number, { signal }: DelayOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      function abort() {
        real.clearTimeout(timer);
        reject(new DOMException("Delay was aborted.", "AbortError"));
      }
      const timer = real.setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, ms);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Gives back the real time. */
  restore(): void {
    if (active !== this) {
      throw new TimeError("Cannot restore time as it is not faked");
    }
    active = undefined;
    real.clearInterval(this.#advance);
    uninstall();
  }

  /** Gives back the real time. */
  [Symbol.dispose](): void {
    this.restore();
  }

  /** The earliest timer, of equals the oldest. */
  #nextTimer(): [number, Timer] | undefined {
    let next: [number, Timer] | undefined;
    for (const entry of this.#timers) {
      if (!next || entry[1].due < next[1].due) next = entry;
    }
    return next;
  }

  #add(callback: () => void, delay: number, every?: number): number {
    const due = this.#now + Math.max(0, Math.floor(delay));
    const id = ++this.#lastId;
    this.#timers.set(
      id,
      every === undefined ? { due, callback } : { due, callback, every },
    );
    return id;
  }

  #install(): void {
    type Callback = (...args: unknown[]) => void;
    const now = () => this.#now;
    const clear = (id: unknown) => void this.#timers.delete(id as number);
    Object.assign(globalThis, {
      // A proxy, not a subclass: every real date stays an instance of `Date`.
      Date: new Proxy(real.Date, {
        construct: (target, args) => Reflect.construct(target, args.length > 0 ? args : [now()]),
        apply: () => new real.Date(now()).toString(),
        get: (target, key) => key === "now" ? now : Reflect.get(target, key),
      }),
      setTimeout: (callback: Callback, delay = 0, ...args: unknown[]) => this.#add(() => callback(...args), delay),
      setInterval: (callback: Callback, delay = 0, ...args: unknown[]) => {
        const every = Math.max(1, Math.floor(delay));
        return this.#add(() => callback(...args), every, every);
      },
      clearTimeout: clear,
      clearInterval: clear,
    });
    AbortSignal.timeout = (delay) => {
      const controller = new AbortController();
      const reason = new DOMException("Signal timed out.", "TimeoutError");
      this.#add(() => controller.abort(reason), delay);
      return controller.signal;
    };
  }
}

function uninstall(): void {
  const { abortAfter, ...globals } = real;
  Object.assign(globalThis, globals);
  AbortSignal.timeout = abortAfter;
}
