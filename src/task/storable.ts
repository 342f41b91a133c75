/** Values without parts. */
export type Atom =
  | null
  | undefined
  | boolean
  | number
  | string
  | bigint
  | Date
  | RegExp
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | Blob;

/**
 * `T` as the wire format carries it: whatever the structured clone algorithm takes. Functions, symbols and promises
 * become `never`, so that a mismatch is a compile error.
 */
export type Storable<T> = unknown extends T ? T
  : T extends Atom ? T
  // deno-lint-ignore no-explicit-any
  : T extends ((...args: any[]) => unknown) | symbol | Promise<unknown> ? never
  : T extends ReadonlyMap<infer K, infer V> ? ReadonlyMap<Storable<K>, Storable<V>>
  : T extends ReadonlySet<infer V> ? ReadonlySet<Storable<V>>
  : { [K in keyof T]: Storable<T[K]> };

/** What the compiler shows when a handler takes or returns something that cannot be stored. */
export interface NotStorable<T> {
  /** The arguments and the result in question. */
  readonly "Task arguments and results must be plain data": T;
}

/** `unknown` if arguments `A` and result `R` can be stored, else a type that no function has. */
export type Check<A extends unknown[], R> = [A, Awaited<R>] extends [Storable<A>, Storable<Awaited<R>> | void] ? unknown
  : NotStorable<[A, Awaited<R>]>;
