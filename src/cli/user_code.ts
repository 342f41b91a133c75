import { Console } from "node:console";
import process from "node:process";
import { FireflyError } from "../errors.ts";

/** A module of the user cannot be imported, or the configuration or the tasks cannot be found. */
export class DiscoveryError extends FireflyError {
  override name = "DiscoveryError";
}

/** How to import the user's modules. */
export interface ImportOptions {
  /** The longest that one import may take, in milliseconds. @default no limit */
  readonly timeout?: number | undefined;
  /** Receives a sentence about a module whose import takes long. */
  readonly onWait?: ((message: string) => void) | undefined;
}

/** How long an import may take before it is reported, in milliseconds: a download of dependencies may take as long. */
const NOTICE_AFTER = 3_000;

/** The parts of Deno's namespace that are replaced while user code may run. */
type DenoNamespace = { stdout: unknown; stderr: unknown; exit: (code?: number) => never };
const { Deno: deno } = globalThis as { Deno?: DenoNamespace };

let isConfined = false;

/**
 * Keeps the user's modules from disturbing a command: until the process ends, all that other code than the terminal
 * prints on stdout goes to stderr, and `onError` receives the errors that nothing handles. Descriptor 1 itself stays
 * open: child processes that inherit it can still write to it.
 */
export function confineUserCode(onError: (error: unknown) => void): void {
  if (isConfined) return;
  isConfined = true;
  process.on("unhandledRejection", onError);
  process.on("uncaughtException", onError);
  process.stdout.write = process.stderr.write.bind(process.stderr) as typeof process.stdout.write;
  // Deno's console and Deno.stdout write to the descriptor directly.
  const errors = new Console(process.stderr) as unknown as Record<string, unknown>;
  const own = console as unknown as Record<string, unknown>;
  for (const [name, method] of Object.entries(errors)) {
    if (typeof method === "function" && typeof own[name] === "function" && name !== "Console") own[name] = method;
  }
  if (deno) Object.defineProperty(deno, "stdout", { value: deno.stderr, configurable: true, enumerable: true });
}

/**
 * Runs an import. It is refused if it calls `process.exit()`, which would end the command without a word, or if it takes
 * longer than its timeout; a long one is reported.
 *
 * @throws {DiscoveryError} If the import takes longer than `timeout`, or tries to end the process.
 */
export async function runImport<T>(
  run: () => Promise<T>,
  { shown, timeout, onWait }: ImportOptions & { shown: string },
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const release = refuseExit((call) => {
    const error = new DiscoveryError(`Cannot import ${shown} as it ends the process: it calls ${call}`);
    ended.reject(error);
    return error;
  });
  const notice = onWait && setTimeout(
    () => onWait(`Waiting for ${shown}: its import does not end, as if it waited for something at its top level`),
    NOTICE_AFTER,
  );
  const deadline = timeout === undefined ? undefined : setTimeout(
    () => ended.reject(new DiscoveryError(`Cannot import ${shown} as it takes longer than ${timeout / 1000} s`)),
    timeout,
  );
  try {
    return await Promise.race([run(), ended.promise]);
  } finally {
    clearTimeout(notice);
    clearTimeout(deadline);
    release();
  }
}

/** Makes calls that end the process throw what `refuse` returns, until the result is called. */
function refuseExit(refuse: (call: string) => Error): () => void {
  const { exit } = process;
  const denoExit = deno?.exit;
  const refusing = (name: string) => (code?: number | string | null): never => {
    throw refuse(`${name}(${code ?? ""})`);
  };
  process.exit = refusing("process.exit") as typeof process.exit;
  if (deno) deno.exit = refusing("Deno.exit");
  return () => {
    process.exit = exit;
    if (deno) deno.exit = denoExit!;
  };
}
