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

/**
 * `unknown` if arguments `A` and result `R` can be stored, else a sentence that names the first value that cannot, such
 * as `[0].onDone is a function`.
 *
 * @internal
 */
export type Storability<A extends unknown[], R> = [A, R] extends [Storable<A>, Storable<R> | void] ? unknown
  : `Task arguments and results must be plain data: ${Named<Culprit<A, ""> | Culprit<R, "result">>}`;

/** @internal */
type Named<C extends string> = [C] extends [never] ? "a member is a function, a symbol or a promise" : Last<C>;

/**
 * How far the search for a culprit goes into a value: types may contain themselves.
 *
 * @internal
 */
type Depth = [0, 0, 0, 0, 0, 0];

/**
 * What in `T` cannot be stored, and where: one member of each value on the way.
 *
 * @internal
 */
type Culprit<T, Path extends string, Left extends unknown[] = Depth> = unknown extends T ? never
  : T extends Atom ? never
  // deno-lint-ignore no-explicit-any
  : T extends (...args: any[]) => unknown ? `${Path} is a function`
  : T extends symbol ? `${Path} is a symbol`
  : T extends Promise<unknown> ? `${Path} is a promise`
  : Left extends [unknown, ...infer Rest]
    ? T extends ReadonlyMap<infer K, infer V>
      ? Culprit<K, `a key of ${Path}`, Rest> | Culprit<V, `a value of ${Path}`, Rest>
    : T extends ReadonlySet<infer V> ? Culprit<V, `a member of ${Path}`, Rest>
    : T extends readonly unknown[] ? CulpritOfList<T, Path, Rest>
    : Last<{ [K in keyof T & (string | number)]-?: Culprit<T[K], `${Path}.${K}`, Rest> }[keyof T & (string | number)]>
  : never;

/** @internal */
type CulpritOfList<T extends readonly unknown[], Path extends string, Left extends unknown[]> = number extends
  T["length"] ? Culprit<T[number], `${Path}[]`, Left>
  : Last<{ [K in keyof T & `${number}`]-?: Culprit<T[K], `${Path}[${K}]`, Left> }[keyof T & `${number}`]>;

/**
 * One member of the union `U`: that of the last of the overloads which the compiler makes of them.
 *
 * @internal
 */
type Last<U> = [U] extends [never] ? never
  : (U extends unknown ? (_: () => U) => void : never) extends (_: infer F) => void
    ? F extends () => infer L ? L & string : never
  : never;
