/**
 * A JSR registry of this machine with the package as it is published: `deno task jsr` serves it, or runs a command against
 * it, as `deno run -A jsr:@firefly/tasks/cli`.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { LocalRegistry, type LocalRegistryOptions } from "./jsr/local_registry.ts";
import { EXIT, onInterrupt, runProgram, UsageError } from "./program.ts";

const HELP = `Serves a JSR registry of this machine with the package as it is published, for trying it before a release.

Usage: deno task jsr [options]             serves until Ctrl-C, and prints how to use it
       deno task jsr [options] COMMAND...  runs the command in an empty directory, with nothing cached

  --std   a checkout of github.com/denoland/std; default: FIREFLY_STD, else the stand-ins of scripts/std
  --port  port of the registry; default: a free one

deno publish publishes everything to it, so it fails for all that JSR would refuse. A command's exit code is
passed on. It exits with 1 if a package cannot be published, with 2 for a usage error.

Examples:
  deno task jsr deno run -A jsr:@firefly/tasks/cli help
  deno task jsr --std ../std deno doc jsr:@firefly/tasks/dashboard`;

interface Options extends LocalRegistryOptions {
  readonly command: string[];
}

function readOptions(args: string[]): Options | undefined {
  const given = parseArgs(args, {
    string: ["std", "port"],
    boolean: ["help"],
    alias: { h: "help" },
    stopEarly: true,
    unknown: (argument, key) => {
      if (key === undefined) return;
      throw new UsageError(`Cannot serve the registry as there is no option ${JSON.stringify(argument)}`);
    },
  });
  if (given.help) return undefined;
  const std = given.std ?? Deno.env.get("FIREFLY_STD");
  return {
    std: std ? checkoutOf(std) : undefined,
    port: given.port === undefined ? undefined : portOf(given.port),
    command: given._.map(String),
  };
}

function checkoutOf(path: string): string {
  const directory = resolve(path);
  if (existsSync(join(directory, "encoding", "deno.json"))) return directory;
  throw new UsageError(`Cannot serve the registry as ${directory} is no checkout of github.com/denoland/std`);
}

function portOf(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new UsageError(`Cannot serve the registry as --port must be a port: current value is ${JSON.stringify(text)}`);
}

async function serve({ command, ...options }: Options): Promise<number> {
  // Whatever is under way ends in its own way: a command gets the signal, too.
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>();
  using _ = onInterrupt(interrupt);
  await using registry = await LocalRegistry.start(options);
  if (command.length > 0) return await runCommand(registry, command);
  const env = Object.entries(registry.env).map(([name, value]) => `${name}=${value}`).join(" ");
  console.log(`JSR of this machine: ${registry.url}\n\n  ${env} deno run -A jsr:@firefly/tasks/cli help\n`);
  await interrupted;
  return EXIT.good;
}

async function runCommand({ directory, env }: LocalRegistry, [program, ...args]: string[]): Promise<number> {
  const { code } = await new Deno.Command(program!, { args, cwd: directory, env }).spawn().status;
  return code;
}

if (import.meta.main) {
  Deno.exitCode = await runProgram({ help: HELP, readOptions, run: serve }, Deno.args);
}
