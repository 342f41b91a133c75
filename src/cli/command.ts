import type { Arguments } from "./arguments.ts";
import type { Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** One command of the command line. */
export interface Command {
  readonly name: string;
  /** Its positional arguments, as the help shows them. */
  readonly usage: string;
  /** The least and the most positional arguments. */
  readonly positionals: readonly [least: number, most: number];
  /** One sentence for the list of commands, without its period. */
  readonly summary: string;
  /** Paragraphs for the command's own help. */
  readonly details?: string;
  /** Its flags in addition to {@linkcode GLOBAL_FLAGS}. */
  readonly flags: Flags;
  /** Example command lines, without the program's name. */
  readonly examples: readonly string[];
  /** Runs the command and returns its exit code. `commands` are all that there are. */
  run(args: Arguments, terminal: Terminal, commands: readonly Command[]): Promise<number>;
}

/** Flags that every command takes. */
export const GLOBAL_FLAGS: Flags = {
  database: {
    value: "url",
    config: "database",
    description:
      "The database. Default: FIREFLY_DATABASE_URL, the configuration, DATABASE_URL or the PG* variables, in this " +
      "order; without any, the embedded server at a terminal, and an error elsewhere",
  },
  embedded: { description: "Use the embedded server: a PostgreSQL that Firefly starts on this machine" },
  "listen-database": {
    value: "url",
    env: "FIREFLY_LISTEN_DATABASE_URL",
    config: "listenDatabase",
    description: "A direct URL for LISTEN, if the database URL leads to a transaction pooler",
  },
  schema: {
    value: "name",
    env: "FIREFLY_SCHEMA",
    config: "schema",
    byDefault: "firefly",
    description: "The schema of Firefly's tables",
  },
  config: {
    value: "file",
    env: "FIREFLY_CONFIG",
    byDefault: "firefly.config.ts",
    description: "The configuration file",
  },
  import: {
    value: "module",
    list: "repeat",
    env: "FIREFLY_IMPORT",
    description: "An additional module that defines tasks",
  },
  json: {
    env: "FIREFLY_JSON",
    description: "Print JSON, one value per line. Default unless stdout is a terminal",
  },
  table: { env: "FIREFLY_TABLE", description: "Print tables and text for people. Default if stdout is a terminal" },
  quiet: { env: "FIREFLY_QUIET", description: "Print only warnings and errors" },
  verbose: { env: "FIREFLY_VERBOSE", description: "Print everything, including stack traces" },
  help: { short: "h", description: "Show this help" },
  version: { description: "Show the version" },
};
