/**
 * What zod, valibot, arktype and others agree on: an object that checks a value
 * (https://standardschema.dev, version 1). `Output` is what a valid value becomes.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** The agreed properties. */
  readonly "~standard": {
    /** The version of the agreement. */
    readonly version: 1;
    /** The library. */
    readonly vendor: string;
    /** Checks a value: to `value`, or to `issues` that say what is wrong where. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** The types, for the compiler alone. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a check came to. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where: keys from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
