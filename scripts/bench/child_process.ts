import { fileURLToPath } from "node:url";
import type { Command, Commands, Reply } from "./child/commands.ts";
import type { Setup } from "./drivers/driver.ts";
import { join } from "node:path";

const HERE = fileURLToPath(new URL("../../", import.meta.url));

/** The program that runs a driver. */
export type Runtime = "deno" | "node";

/** Where Node is; Deno is what runs this. */
export interface Programs {
  readonly node: string;
}

/** How many tasks a consumer has started, and when the first one did, in milliseconds of the wall clock. */
export interface Started {
  readonly started: number;
  readonly first: number;
}

/** A producer or a consumer of a peer in a process of its own. */
export class Child implements AsyncDisposable {
  #child: Deno.ChildProcess;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #waiting = new Map<number, PromiseWithResolvers<Commands[Command][1]>>();
  #ids = 0;
  #over: Promise<void>;
  #errors = "";
  #hasEnded = false;
  /** What its consumer has done so far. */
  progress: Started = { started: 0, first: 0 };
  #began: PromiseWithResolvers<void> | undefined;

  constructor(runtime: Runtime, setup: Setup, { node }: Programs) {
    const { tree = HERE, program } = setup;
    const main = join(tree, "scripts", "bench", "child", `${program}.ts`);
    // Workflows are measured by the heap that they hold.
    const [denoFlags, nodeFlags] = program === "workflows" ? [["--v8-flags=--expose-gc"], ["--expose-gc"]] : [[], []];
    const deno = ["run", "-A", "--no-check", "--quiet", "--unstable-kv", ...denoFlags, main];
    this.#child = new Deno.Command(runtime === "deno" ? Deno.execPath() : node, {
      args: [...(runtime === "deno" ? deno : [...nodeFlags, main]), JSON.stringify(setup)],
      env: { NO_COLOR: "1", NODE_NO_WARNINGS: "1" },
      detached: true, // Ctrl-C is for the benchmark, which ends it
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#over = Promise.all([this.#readReplies(), this.#readErrors(), this.#child.status]).then(() => {
      this.#hasEnded = true;
      const error = this.#endedError();
      this.#began?.reject(error);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Has it do something; rejects with what went wrong there, or if it ends. */
  async ask<C extends Command>(
    command: C,
    ...[args = {}]: Record<never, never> extends Commands[C][0] ? [] : [Commands[C][0]]
  ): Promise<Commands[C][1]> {
    if (this.#hasEnded) throw this.#endedError();
    const id = ++this.#ids;
    const waiting = Promise.withResolvers<Commands[Command][1]>();
    this.#waiting.set(id, waiting);
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify({ id, command, args })}\n`)).catch(() => {});
    return await waiting.promise as Commands[C][1];
  }

  /** Resolves when the next task begins whose start is reported at once. */
  async began(): Promise<void> {
    if (this.#hasEnded) throw this.#endedError();
    this.#began = Promise.withResolvers();
    await this.#began.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#over;
    await this.#writer.abort().catch(() => {});
  }

  #endedError(): Error {
    return new Error(["The process ended", this.#errors.trim()].filter(Boolean).join(": "));
  }

  async #readReplies(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#onLine(line);
    }
  }

  #onLine(line: string): void {
    let reply: Reply;
    try {
      reply = JSON.parse(line);
    } catch {
      this.#errors += `${line}\n`; // a package that prints
      return;
    }
    if ("started" in reply) this.progress = reply;
    else if ("began" in reply) this.#began?.resolve();
    else {
      const waiting = this.#waiting.get(reply.id)!;
      this.#waiting.delete(reply.id);
      if ("error" in reply) waiting.reject(new Error(reply.error));
      else waiting.resolve(reply.answer);
    }
  }

  async #readErrors(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.#errors = (this.#errors + text).slice(-4000);
    }
  }
}
