import { extname, join } from "node:path";

/** The part of JSR's API that `deno publish` uses, below `/api/`. */
const VERSION = new URLPattern({ pathname: "/api/scopes/:scope/packages/:name/versions/:version" });
const PACKAGE = new URLPattern({ pathname: "/api/scopes/:scope/packages/:name" });

const TYPES: Record<string, string> = {
  ".js": "text/javascript",
  ".json": "application/json",
  ".ts": "text/typescript",
};

/** How old published versions seem to be, in milliseconds: by default, Deno takes none in its first 24 hours. */
const TWO_DAYS = 48 * 60 * 60 * 1000;

/** What JSR serves at `/@scope/name/meta.json`. */
interface PackageMeta {
  scope: string;
  name: string;
  latest: string;
  versions: Record<string, { createdAt: string }>;
}

/**
 * A JSR registry of this machine: `deno publish` publishes to it, and `deno run jsr:…` runs from it, where `JSR_URL` is
 * its {@linkcode url}. It keeps the published files in a directory, which it removes at its end.
 *
 * Like JSR, it stores what `deno publish` uploads, and refuses a version that there is. Unlike JSR, it takes any scope and
 * any token, and checks nothing else.
 */
export class Registry implements AsyncDisposable {
  readonly #directory: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    const handler = (request: Request) => this.#respond(request);
    this.#server = Deno.serve({ hostname: "127.0.0.1", port, handler, onListen() {} });
  }

  /** Starts an empty registry, at a free port unless there is another. */
  static async start(port = 0): Promise<Registry> {
    const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_jsr_" }));
    return new Registry(directory, port);
  }

  /** The value of `JSR_URL`. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  async #respond(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const version = VERSION.exec(url)?.pathname.groups;
    if (version && request.method === "POST") {
      const config = url.searchParams.get("config");
      return await this.#publish(request, { ...version, config } as Upload);
    }
    if (version) {
      return await this.#file(`/@${version.scope}/${version.name}/${version.version}_meta.json`);
    }
    if (PACKAGE.test(url)) return Response.json({ latestVersion: null });
    return await this.#file(decodeURIComponent(url.pathname));
  }

  async #file(path: string): Promise<Response> {
    const file = join(this.#directory, path);
    if (!file.startsWith(this.#directory) || !await isFile(file)) {
      return refusal(404, "notFound", `There is no ${path}`);
    }
    const type = TYPES[extname(file)] ?? "text/plain";
    return new Response(await Deno.readFile(file), { headers: { "content-type": type } });
  }

  async #publish(request: Request, { scope, name, version, config }: Upload): Promise<Response> {
    const home = join(this.#directory, `@${scope}`, name);
    const directory = join(home, version);
    try {
      await Deno.mkdir(home, { recursive: true });
      await Deno.mkdir(directory);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      return refusal(409, "versionExists", `@${scope}/${name}@${version} was published before`);
    }
    await unpack(request.body!, directory);
    const { exports } = JSON.parse(await Deno.readTextFile(join(directory, config)));
    await writeJson(`${directory}_meta.json`, {
      manifest: await manifestOf(directory),
      exports: typeof exports === "string" ? { ".": exports } : exports,
    });
    await addVersion(join(home, "meta.json"), { scope, name, version });
    return Response.json({ id: crypto.randomUUID(), status: "success", error: null });
  }

  /** Stops serving, and removes what was published. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.#directory, { recursive: true });
  }
}

interface Upload {
  scope: string;
  name: string;
  version: string;
  /** The path of the configuration in the package, e.g. `/deno.json`. */
  config: string;
}

function refusal(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value));
}

/** Unpacks a tarball, all of whose files anyone may read: `deno publish` gives them no mode. */
async function unpack(tarball: ReadableStream<Uint8Array>, directory: string): Promise<void> {
  const args = ["--extract", "--gzip", "--no-same-permissions", `--directory=${directory}`];
  const tar = new Deno.Command("tar", { args, stdin: "piped", stdout: "null", stderr: "piped" }).spawn();
  await tarball.pipeTo(tar.stdin);
  const { success, stderr } = await tar.output();
  if (!success) {
    throw new Error(`Cannot unpack the package: ${new TextDecoder().decode(stderr)}`);
  }
  const chmod = await new Deno.Command("chmod", { args: ["-R", "u+rwX", directory] }).output();
  if (!chmod.success) {
    throw new Error(`Cannot make the files of ${directory} readable`);
  }
}

/** Size and checksum of each file, by which Deno checks what it fetches. */
async function manifestOf(directory: string, folder = ""): Promise<Record<string, unknown>> {
  const manifest: Record<string, unknown> = {};
  for await (const { name, isDirectory } of Deno.readDir(join(directory, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) {
      Object.assign(manifest, await manifestOf(directory, path));
    } else {
      const bytes = await Deno.readFile(join(directory, path));
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      manifest[path] = { size: bytes.length, checksum: `sha256-${digest.toHex()}` };
    }
  }
  return manifest;
}

async function addVersion(path: string, { scope, name, version }: Omit<Upload, "config">): Promise<void> {
  const meta: PackageMeta = await isFile(path)
    ? JSON.parse(await Deno.readTextFile(path))
    : { scope, name, latest: version, versions: {} };
  meta.latest = version;
  meta.versions[version] = { createdAt: new Date(Date.now() - TWO_DAYS).toISOString() };
  await writeJson(path, meta);
}
