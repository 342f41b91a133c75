import vm from "node:vm";

/** Makes an error whose property `key` cannot be read. */
function withGetter(key: string): Error {
  return Object.defineProperty(new Error("plain"), key, {
    get() {
      throw new Error(`no ${key}`);
    },
  });
}

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function refuse(): never {
  throw new Error("trap");
}

const TRAPS = { get: refuse, getPrototypeOf: refuse, has: refuse, ownKeys: refuse, getOwnPropertyDescriptor: refuse };

/** Values that a handler may throw and that are hard to read, each made anew. */
export const HOSTILE_VALUES: Readonly<Record<string, () => unknown>> = {
  "nothing": () => undefined,
  "null": () => null,
  "a symbol": () => Symbol("s"),
  "an object without a prototype": () => Object.create(null),
  "an object whose text throws": () => ({ toString: refuse, [Symbol.toPrimitive]: refuse }),
  "a revoked proxy": () => revoked({}),
  "a revoked proxy of an error": () => revoked(new Error("x")),
  "a proxy whose traps throw": () => new Proxy(new Error("x"), TRAPS),
  "a function whose traps throw": () => new Proxy(() => {}, TRAPS),
  "an error of another realm": () => vm.runInNewContext("new RangeError('elsewhere')"),
  "a frozen error": () => Object.freeze(new Error("frozen")),
  "an error whose message is an object that throws": () =>
    Object.assign(new Error(), { message: { toString: refuse }, name: Object.create(null), stack: Symbol("s") }),
  "an error that causes itself": () => {
    const error = new Error("self");
    return Object.assign(error, { cause: error });
  },
  "an error with an endless chain of causes": () => {
    const get = (): unknown => Object.defineProperty(new Error("again"), "cause", { get });
    return get();
  },
  "an error caused by a revoked proxy": () => new Error("outer", { cause: revoked({}) }),
  "an error with a list of parameters that cannot be read": () =>
    Object.assign(new Error("x"), { parameters: revoked([]), args: new Proxy([], TRAPS) }),
  "an error with a hostile constructor": () => Object.assign(new Error("x"), { constructor: revoked({}) }),
  ...Object.fromEntries(
    [
      "message",
      "name",
      "stack",
      "cause",
      "code",
      "severity",
      "severity_local",
      "routine",
      "query",
      "parameters",
      "delay",
    ]
      .map((key) => [`an error whose ${key} throws`, () => withGetter(key)]),
  ),
};
