/** Storable values that contain no other values. */
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
 * `T` as the wire format stores it: any value that the structured clone algorithm accepts. Functions, symbols and
 * promises become `never`, which makes passing one a compile-time error.
 */
export type Storable<T> = unknown extends T ? T
  : T extends Atom ? T
  // deno-lint-ignore no-explicit-any
  : T extends ((...args: any[]) => unknown) | symbol | Promise<unknown> ? never
  : T extends ReadonlyMap<infer K, infer V> ? ReadonlyMap<Storable<K>, Storable<V>>
  : T extends ReadonlySet<infer V> ? ReadonlySet<Storable<V>>
  : { [K in keyof T]: Storable<T[K]> };

/** The type in the compile-time error for a handler that takes or returns a value that cannot be stored. */
export interface NotStorable<T> {
  /** The types of the handler's arguments and result. */
  readonly "Task arguments and results must be plain data": T;
}

/** `unknown` if arguments `A` and result `R` can be stored, else {@linkcode NotStorable}, a type that no function has. */
export type Check<A extends unknown[], R> = [A, Awaited<R>] extends [Storable<A>, Storable<Awaited<R>> | void] ? unknown
  : NotStorable<[A, Awaited<R>]>;
