import { chmod, mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { defaultHome, startEmbedded } from "../../src/embedded/embedded.ts";

const MEMORY = "/dev/shm";
/** The write-ahead log and the databases of all workers take less. */
const SPACE = 2 * 1024 ** 3;

/** Settings of a server that only tests use, as it need not survive a crash of the machine. */
export const UNSAFE_SETTINGS = { fsync: "off", full_page_writes: "off", max_wal_size: "256MB" };

/** The server of the tests' databases. */
export interface TestServer {
  readonly url: string;
  /** What is to be set in the server, once. */
  readonly settings: Readonly<Record<string, string>>;
  /** How it copies the template: without a disk to wait for, copying files takes half the time of logging pages. */
  readonly strategy: "file_copy" | "wal_log";
}

/**
 * The server of `TEST_DATABASE_URL`, else an embedded one that only tests use. It outlives them, as the next run uses it.
 *
 * Its files are in memory where there is room, and it does not wait for a disk: every test makes a database, which is
 * 480 files, and drops it. This hides no fault of Firefly, as only a crash of the machine could lose a commit. The faults
 * that stop servers or fill disks start servers of their own.
 */
export async function testServer(): Promise<TestServer> {
  const url = Deno.env.get("TEST_DATABASE_URL");
  const strategy = Deno.env.get("TEST_DATABASE_STRATEGY") === "file_copy" ? "file_copy" : "wal_log";
  if (url) return { url, settings: {}, strategy };
  const directory = defaultHome(); // of the binaries, which are fetched once
  if (await mkdir(directory, { recursive: true })) await chmod(directory, 0o755);
  const home = join(await memoryDirectory() ?? directory, `firefly_test_${Deno.uid() ?? ""}`);
  const server = await startEmbedded({ home, binaries: { directory } });
  return { url: server.url, settings: UNSAFE_SETTINGS, strategy: "file_copy" };
}

/** A directory in memory with room for a server of tests; undefined if there is none. */
export async function memoryDirectory(): Promise<string | undefined> {
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    return bavail * bsize > SPACE ? MEMORY : undefined;
  } catch {
    return undefined; // not Linux
  }
}
