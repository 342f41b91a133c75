import type { Arguments, Flags } from "./arguments.ts";
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
  /** Runs the command and returns its exit code. */
  run(args: Arguments, terminal: Terminal): Promise<number>;
}

/** Flags that every command takes. */
export const GLOBAL_FLAGS: Flags = {
  database: {
    value: "url",
    description:
      "The database. Default: the configuration, FIREFLY_DATABASE_URL, DATABASE_URL or the PG* variables, in this " +
      "order; without any, the embedded server at a terminal, and an error elsewhere",
  },
  embedded: { description: "Use the embedded server: a PostgreSQL that Firefly starts on this machine" },
  "listen-database": {
    value: "url",
    description: "A direct URL for LISTEN, if the database URL leads to a transaction pooler",
  },
  schema: { value: "name", description: 'The schema of Firefly\'s tables. Default: "firefly", unless configured' },
  config: { value: "file", description: "The configuration file. Default: firefly.config.ts in this directory" },
  import: { value: "module", list: "repeat", description: "An additional module that defines tasks" },
  json: { description: "Print JSON, one value per line. Default unless stdout is a terminal" },
  table: { description: "Print tables and text for people. Default if stdout is a terminal" },
  quiet: { description: "Print only warnings and errors" },
  verbose: { description: "Print everything, including stack traces" },
  help: { description: "Show this help" },
  version: { description: "Show the version" },
};
