/**
 * A schema of zod, valibot, arktype or another library that implements Standard Schema, version 1
 * (https://standardschema.dev). `Output` is the type of a validated value.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** The properties that Standard Schema defines. */
  readonly "~standard": {
    /** The version of Standard Schema. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Validates a value. Returns the validated `value`, or the `issues` that were found. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** The types of the value before and after validation, for the compiler only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The result of validating a value. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One reason why a value is not valid. */
export interface SchemaIssue {
  /** The reason. */
  readonly message: string;
  /** The keys that lead to the invalid part, from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Any schema. */
// deno-lint-ignore no-explicit-any
export type AnySchema = StandardSchemaV1<any, any>;

/**
 * The type of the values that schema `S` accepts. Valibot accepts lists without the optional elements at their end, but
 * its types require them.
 */
export type InputOf<S> = S extends StandardSchemaV1<infer Input, unknown>
  ? S extends { "~standard": { vendor: "valibot" } } ? OptionalEnd<Input> : Input
  : never;

/** The type of the values that schema `S` returns. */
export type OutputOf<S> = S extends StandardSchemaV1<infer _, infer Output> ? Output : never;

/**
 * The list `L` with its last elements optional, as far as they may be undefined.
 *
 * @internal
 */
type OptionalEnd<L> = L extends [...infer Start, infer End] ? undefined extends End ? [...OptionalEnd<Start>, End?] : L
  : L;
