/**
 * Copies the statements of a consumer from `src/store/` into a folder of `tests/releases/`, without their comments. Run
 * it with the name of the folder when a release is made: `tests/releases/` then holds later schemas to these copies.
 *
 * @module
 */
const ROOT = new URL("../", import.meta.url);
const STORE = new URL("src/store/", ROOT);
/** The files with what a consumer and a producer of the release go on doing while the schema is migrated. */
const FILES = [
  "claim.ts",
  "complete.ts",
  "consumers.ts",
  "insert.ts",
  "limits.ts",
  "rescue.ts",
  "schedule.ts",
  "settle.ts",
  "waiting.ts",
];

const IMPORT = /(?<=from ")\.\.?\/[^"]+/g;
const BLOCK_COMMENT = /^ *\/\*[^]*?\*\/\n/gm;
const LINE_COMMENT = /^ *(?:\/\/|--) .*\n/gm;

/** Copies `files` and those of the folder that they import; whatever else they import stays where it is. */
async function copyStatements(folder: URL, files: string[]): Promise<void> {
  const names = new Set(files);
  await Deno.mkdir(folder, { recursive: true });
  for (const name of names) {
    const text = await Deno.readTextFile(new URL(name, STORE));
    const moved = text.replaceAll(IMPORT, (path) => {
      if (!path.startsWith("./")) return `../../../src/${path.slice("../".length)}`;
      names.add(path.slice("./".length));
      return path;
    });
    const bare = moved.replaceAll(BLOCK_COMMENT, "").replaceAll(LINE_COMMENT, "");
    await Deno.writeTextFile(new URL(name, folder), bare);
  }
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", folder.pathname] }).output();
}

const [name] = Deno.args;
if (!name || !/^[a-z0-9.]+$/.test(name)) throw new Error("Cannot copy statements as the folder is not named");
await copyStatements(new URL(`tests/releases/${name}/`, ROOT), FILES);
