import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { copyPackage, denoPublish } from "../publish.ts";
import { Registry } from "./registry.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What {@linkcode LocalRegistry.start} may be told. */
export interface LocalRegistryOptions {
  /** A checkout of `github.com/denoland/std`. @default the stand-ins of `scripts/std` */
  std?: string | undefined;
  /** @default a free one */
  port?: number | undefined;
}

/**
 * A registry of this machine with the package as it is published and with the `@std` that it imports, and a place for a
 * stranger to run it: an empty directory, and a Deno that has nothing cached.
 */
export class LocalRegistry implements AsyncDisposable {
  readonly #registry: Registry;
  readonly #home: string;

  private constructor(registry: Registry, home: string) {
    this.#registry = registry;
    this.#home = home;
  }

  /**
   * Starts the registry, and publishes everything to it by `deno publish`, which checks the package's types.
   *
   * @throws {Error} If `deno publish` refuses one of the packages, with what it printed.
   */
  static async start({ std, port }: LocalRegistryOptions = {}): Promise<LocalRegistry> {
    const registry = await Registry.start(port);
    const home = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_stranger_" }));
    const local = new LocalRegistry(registry, home);
    try {
      for (const folder of ["cache", "publisher", "package", "project"]) {
        await Deno.mkdir(join(home, folder));
      }
      await local.#publishStd(std);
      await copyPackage(join(home, "package"));
      await local.#publish(join(home, "package"));
      return local;
    } catch (error) {
      await local[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The value of `JSR_URL`. */
  get url(): string {
    return this.#registry.url;
  }

  /** An empty directory outside of the repository. */
  get directory(): string {
    return join(this.#home, "project");
  }

  /** The copy of the package that was published. */
  get package(): string {
    return join(this.#home, "package");
  }

  /** What makes Deno run from the registry, with a cache that is empty at first. */
  get env(): Record<string, string> {
    return { JSR_URL: this.url, DENO_DIR: join(this.#home, "cache") };
  }

  async #publishStd(checkout: string | undefined): Promise<void> {
    const { links } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
    const directories: string[] = checkout === undefined ? links.map((link: string) => join(ROOT, link)) : [checkout];
    // Its types are checked where it is written; where they are imported, Firefly's publishing checks them.
    for (const directory of directories) {
      await this.#publish(directory, ["--no-check", "--allow-slow-types"]);
    }
  }

  /** Publishes a package, or all of a workspace, with a cache that is not the one of the stranger. */
  async #publish(directory: string, args: string[] = []): Promise<void> {
    const env = { JSR_URL: this.url, DENO_DIR: join(this.#home, "publisher") };
    await denoPublish(directory, ["--token", "local", "--allow-dirty", ...args], env);
  }

  /** Ends the registry, and removes all that was published and cached. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry[Symbol.asyncDispose]();
    await Deno.remove(this.#home, { recursive: true });
  }
}
