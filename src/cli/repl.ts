import process from "node:process";
import { type REPLEval, type REPLServer, start } from "node:repl";
import type { Firefly } from "../firefly/firefly.ts";
import { registry } from "../task/scope.ts";
import { makeTask } from "../task/task.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings, withInstanceOf } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** Names that a task may have as a variable: those of the instance and of JavaScript stay what they are. */
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
const AWAIT = /\bawait\b/;
/** `const name = await …`: the name, and what is awaited. */
const ASSIGNMENT = /^\s*(?:const|let|var)\s+([\w$]+)\s*=\s*([^]*)$/;

/** `repl`: evaluates JavaScript with the tasks at hand. */
export const repl: Command = {
  name: "repl",
  usage: "",
  positionals: [0, 0],
  summary: "Evaluate JavaScript with the instance and the tasks loaded",
  details:
    "`firefly` is the instance, `tasks` has every task by its name; one whose name is a plain word is also a variable. A " +
    "promise is awaited before it is shown. Calling a task runs its handler here, `schedule()` stores it for a consumer.",
  flags: {},
  examples: ["repl", `repl <<< 'tasks["math.add"].schedule(1, 3)'`],
  async run(args, terminal) {
    const { options } = await readSettings({ args, terminal, tasks: "required", ownStdout: true });
    return await withInstanceOf(options, async (ff) => {
      await ff.connect();
      await converse(ff, terminal);
      return EXIT.done;
    });
  },
};

async function converse(ff: Firefly, terminal: Terminal): Promise<void> {
  const isTerminal = Boolean(process.stdin.isTTY && process.stdout.isTTY);
  const tasks: Record<string, unknown> = {};
  for (const [name, { definition }] of registry) if (name === definition.name) tasks[name] = makeTask(definition);
  const names = Object.keys(tasks);
  if (isTerminal) terminal.note(`firefly is the instance; tasks: ${names.join(", ")}. Ctrl-D ends it`);
  const server = start({ prompt: isTerminal ? "firefly> " : "", terminal: isTerminal });
  const plain = names.filter((name) => IDENTIFIER.test(name) && !(name in globalThis) && !(name in server.context));
  Object.assign(server.context, Object.fromEntries(plain.map((name) => [name, tasks[name]])), { firefly: ff, tasks });
  const evaluations = awaitPromises(server);
  await new Promise<void>((resolve) => server.on("exit", () => resolve()));
  await evaluations.idle();
}

/** Makes a server await promises, and understand `await` where the runtime does not: one evaluation after another. */
function awaitPromises(server: REPLServer): { idle(): Promise<void> } {
  const original = server.eval;
  let pending: Promise<void> | undefined;
  const evaluate: REPLEval = function (code, context, file, callback) {
    /** Shows what a promise resolves to, and first gives it to `keep`. */
    async function settle(promise: Promise<unknown>, keep?: (value: unknown) => void): Promise<void> {
      try {
        const value = await promise;
        keep?.(value);
        callback(null, value);
      } catch (error) {
        callback(error as Error, undefined);
      }
    }
    /** Returns undefined if the code was evaluated at once. */
    function run(again = false): Promise<void> | undefined {
      let settled: Promise<void> | undefined;
      const [, name, value = code] = again ? ASSIGNMENT.exec(code) ?? [] : [];
      const source = again ? `(async () => (${value.trim().replace(/;$/, "")}\n))()\n` : code;
      original.call(server, source, context, file, (error, value) => {
        if (isPromise(value)) settled = settle(value, name ? (value) => void (context[name] = value) : undefined);
        else if (!again && error instanceof SyntaxError && AWAIT.test(code)) settled = run(true);
        else callback(error, value);
      });
      return settled;
    }
    const settled = pending ? pending.then(() => run()) : run();
    if (!settled) return;
    const ended = pending = settled.finally(() => {
      if (pending === ended) pending = undefined;
    });
  };
  Object.assign(server, { eval: evaluate });
  return {
    async idle() {
      while (pending) await pending;
    },
  };
}

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise || Object.prototype.toString.call(value) === "[object Promise]";
}
