// deno-lint-ignore-file no-explicit-any
import { assertEquals, AssertionError, assertIsError } from "../assert/mod.ts";

/** A misuse of a spy or stub. */
export class MockError extends Error {
  /** The name of the class. */
  override name = "MockError";
}

/** One recorded call. */
export interface SpyCall<
  Self = any,
  Args extends unknown[] = any[],
  Return = any,
> {
  /** What it was called with. */
  args: Args;
  /** What it returned. */
  returned?: Return;
  /** What it threw. */
  error?: Error;
  /** The `this` of the call. */
  self?: Self;
}

/** A function that records its calls. */
export interface Spy<Self = any, Args extends unknown[] = any[], Return = any> {
  (this: Self, ...args: Args): Return;
  /** The function that is spied on. */
  original: (this: Self, ...args: Args) => Return;
  /** The calls so far. */
  calls: SpyCall<Self, Args, Return>[];
  /** Whether the original method is back in its place. */
  restored: boolean;
  /** Puts the original method back; throws for a function. */
  restore(): void;
}

/** A method that records its calls until it is disposed of. */
export interface MethodSpy<
  Self = any,
  Args extends unknown[] = any[],
  Return = any,
> extends Spy<Self, Args, Return>, Disposable {}

/** A method whose calls another function answers. */
export interface Stub<Self = any, Args extends unknown[] = any[], Return = any> extends MethodSpy<Self, Args, Return> {
  /** The function that answers. */
  fake: (this: Self, ...args: Args) => Return;
}

/** The parameters of a method. */
export type GetParametersFromProp<Self, Prop extends keyof Self> = Self[Prop] extends (...args: infer Args) => unknown
  ? Args
  : unknown[];

/** The return type of a method. */
export type GetReturnFromProp<Self, Prop extends keyof Self> = Self[Prop] extends (...args: any[]) => infer Return
  ? Return
  : unknown;

/** What {@linkcode assertSpyCall} expects. */
export interface ExpectedSpyCall<
  Self = any,
  Args extends unknown[] = any[],
  Return = any,
> {
  /** What it was called with. */
  args?: [...Args, ...unknown[]];
  /** The `this` of the call. */
  self?: Self;
  /** What it returned. */
  returned?: Return;
  /** What it threw. */
  error?: {
    /** Its class. */
    Class?: new (...args: any[]) => any;
    /** Part of its message. */
    msgIncludes?: string;
  };
}

function record(original: any, answer: any, putBack?: () => void): any {
  const calls: SpyCall[] = [];
  function recorder(this: unknown, ...args: unknown[]) {
    const call: SpyCall = { args };
    if (this) call.self = this;
    calls.push(call);
    try {
      return call.returned = answer.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    }
  }
  function restore() {
    if (!putBack) throw new MockError("Cannot restore a function");
    if (recorder.restored) throw new MockError("Cannot restore a method twice");
    putBack();
    recorder.restored = true;
  }
  recorder.original = original;
  recorder.fake = answer;
  recorder.calls = calls;
  recorder.restored = false;
  recorder.restore = restore;
  recorder[Symbol.dispose] = restore;
  return recorder;
}

function replace(self: any, property: PropertyKey, answer?: any): any {
  const original = self[property];
  if (typeof original !== "function") {
    throw new MockError(
      `Cannot replace "${String(property)}" as it is not a method`,
    );
  }
  const own = Object.getOwnPropertyDescriptor(self, property);
  const recorder = record(original, answer ?? original, () => {
    if (own) Object.defineProperty(self, property, own);
    else delete self[property];
  });
  const enumerable = own?.enumerable ?? false;
  Object.defineProperty(self, property, {
    value: recorder,
    configurable: true,
    writable: true,
    enumerable,
  });
  return recorder;
}

/** Records the calls of nothing. */
export function spy<
  Self = any,
  Args extends unknown[] = any[],
  Return = undefined,
>(): Spy<
  Self,
  Args,
  Return
>;
/** Records the calls of a function. */
export function spy<Self, Args extends unknown[], Return>(
  func: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
/** Records the calls of a method. */
export function spy<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): MethodSpy<
  Self,
  GetParametersFromProp<Self, Prop>,
  GetReturnFromProp<Self, Prop>
>;
export function spy(target: any = () => {}, property?: PropertyKey): any {
  return property === undefined ? record(target, target) : replace(target, property);
}

/** Makes a method return undefined. */
export function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): Stub<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>>;
/** Makes `func` answer the calls of a method. */
export function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  func: (
    this: Self,
    ...args: GetParametersFromProp<Self, Prop>
  ) => GetReturnFromProp<Self, Prop>,
): Stub<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>>;
export function stub(self: any, property: PropertyKey, func = () => {}): any {
  return replace(self, property, func);
}

/** Asserts how often a spy was called. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  assertEquals(spy.calls.length, expectedCalls, "Calls of the spy");
}

/** Asserts what one call of a spy was. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: ExpectedSpyCall<Self, Args, Return> = {},
): void {
  const call = spy.calls[callIndex];
  if (!call) throw new AssertionError(`The spy has no call ${callIndex}`);
  if ("args" in expected) assertEquals<unknown>(call.args, expected.args);
  if ("self" in expected) assertEquals(call.self, expected.self);
  if ("returned" in expected) assertEquals(call.returned, expected.returned);
  if (expected.error) {
    assertIsError(call.error, expected.error.Class, expected.error.msgIncludes);
  }
}

/** A function that returns the values in turn, and throws those that are errors. */
export function returnsNext<Return, Self = any, Args extends unknown[] = any[]>(
  values: Iterable<Return | Error>,
): (this: Self, ...args: Args) => Return {
  const turn = values[Symbol.iterator]();
  return () => {
    const { value, done } = turn.next();
    if (done) throw new MockError("No value is left to return");
    if (value instanceof Error) throw value;
    return value;
  };
}
