import { chmod, mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { defaultHome, startEmbedded } from "../../src/embedded/embedded.ts";

const MEMORY = "/dev/shm";
/** The write-ahead log and the databases of all workers take less. */
const SPACE = 2 * 1024 ** 3;

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
  if (url) return { url, settings: {}, strategy: "wal_log" };
  const directory = defaultHome(); // of the binaries, which are fetched once
  if (await mkdir(directory, { recursive: true })) await chmod(directory, 0o755);
  const home = join(await hasRoom() ? MEMORY : directory, `firefly_test_${Deno.uid() ?? ""}`);
  const server = await startEmbedded({ home, binaries: { directory } });
  const settings = { fsync: "off", full_page_writes: "off", max_wal_size: "256MB" };
  return { url: server.url, settings, strategy: "file_copy" };
}

async function hasRoom(): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    return bavail * bsize > SPACE;
  } catch {
    return false; // not Linux
  }
}
