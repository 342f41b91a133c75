import process from "node:process";
import type { Consumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { toSeconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { currentScope } from "../task/scope.ts";
import { type Arguments, asUsage, omitUndefined, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { logEvents } from "./consumer_log.ts";
import { EXIT, exitCodeOf } from "./exit_code.ts";
import { readSettings, withInstanceOf } from "./settings.ts";
import { Log } from "./log.ts";
import { Probes } from "./probes.ts";
import { describe, type Terminal } from "./terminal.ts";
import { formatSeconds } from "../times.ts";

/** `consume`: runs tasks until it is stopped. */
export const consume: Command = {
  name: "consume",
  usage: "",
  positionals: [0, 0],
  summary: "Run tasks until SIGTERM or SIGINT",
  details:
    "The first signal, or the SIGHUP of a terminal that is closed, stops it gracefully: it claims no more tasks, releases " +
    "those that have not started, and waits for running ones. A second signal ends it at once; other consumers run the unfinished tasks again when the lease " +
    "expires.\n\n" +
    "Send signals to deno, node or bun itself: npx ends at SIGTERM and does not pass it on, so run `exec deno run …` " +
    "rather than `npx deno run …` where a supervisor stops it.\n\n" +
    "It waits for a database that is down, also at startup, and logs each outage once. Logs go to stderr: readable " +
    "lines on a terminal, JSON otherwise. Errors of handlers are stored with their tasks; the log shows their stack " +
    "traces only with --verbose.\n\n" +
    "An unhandled promise rejection is logged with its stack trace and the consumer continues, as one careless task " +
    "must not stop the others. After an uncaught exception, for example in a timer, the state of the process is " +
    "unknown: it is logged, and the consumer stops gracefully and exits with 1, so that a supervisor can restart it. " +
    "So does a handler that calls process.exit(0): the tasks of the process run elsewhere once its lease has expired.\n\n" +
    "If a handler blocks the event loop for 0.6 of the lease, the watchdog kills the process with SIGKILL (exit code " +
    "137): it could neither run other tasks nor renew its lease, and other consumers take over its tasks. A supervisor, " +
    "such as systemd or Kubernetes, has to start it again.",
  flags: {
    queue: {
      value: "name",
      list: "commas",
      description: "The queues to consume, or '*' for all, also those that come later. Default: those of the tasks",
    },
    concurrency: { value: "number", description: "How many tasks to run at a time. Default: 10, unless configured" },
    drain: { description: "Exit when no task is ready; leaves tasks due later" },
    "max-tasks": { value: "number", description: "Exit after this many attempts" },
    "poll-interval": {
      value: "duration",
      description: "How often to poll in case a notification is missed. Default: 5s",
    },
    lease: {
      value: "duration",
      description: "How soon others take over the tasks of a crashed consumer. Default: 30s",
    },
    release: {
      value: "text",
      description: "The release of your application, stored with each attempt. Default: $FIREFLY_RELEASE",
    },
    "no-cron": { description: "Leave scheduling crons to other consumers" },
    "no-watchdog": { description: "Let handlers block the event loop without limit, for example under a debugger" },
    "probe-port": { value: "number", description: "Answer GET /livez and /readyz on this port" },
    "probe-host": { value: "address", description: "The address to answer probes on. Default: all addresses" },
    "shutdown-timeout": {
      value: "duration",
      description: "How long a graceful stop waits for running tasks. Default: 30s",
    },
  },
  examples: ["consume", "consume --queue mail,default --concurrency 20", "consume --drain --json"],
  async run(args, terminal) {
    const log = new Log(terminal);
    try {
      return await consumeTasks(args, terminal, log);
    } catch (error) {
      const code = exitCodeOf(error);
      if (code === EXIT.usage) throw error;
      const shown = terminal.redactor.redact(error);
      log.add({ level: "error", event: "error", text: describe(shown), error: shown });
      return code;
    } finally {
      log.flush();
    }
  },
};

async function consumeTasks(args: Arguments, terminal: Terminal, log: Log): Promise<number> {
  const exit = guardExit(log);
  try {
    return await consumeGuarded(args, { terminal, log, exit });
  } finally {
    exit.end();
  }
}

async function consumeGuarded(
  args: Arguments,
  { terminal, log, exit }: { terminal: Terminal; log: Log; exit: ExitGuard },
): Promise<number> {
  const flags = optionsOf(args);
  const onProgress = (message: string) => log.add({ level: "info", event: "progress", text: message });
  const deployedBy = args.text("probe-port") === undefined ? undefined : "--probe-port";
  const { options, config } = await readSettings({
    args,
    terminal,
    tasks: "required",
    ownStdout: true,
    onProgress,
    deployedBy,
  });
  const consumeOptions = { watchdog: true, ...config.consume, ...flags };
  return await withInstanceOf(options, async (ff) => {
    const running = logEvents(ff, log, consumeOptions);
    exit.running = running;
    const probes = await answerProbes(args, log);
    const consumer = asUsage(() => ff.consume(consumeOptions));
    if (probes) probes.consumer = consumer;
    const guard = guardProcess(consumer, { ff, log, running, exit, options: consumeOptions });
    try {
      await consumer.finished;
      return guard.exitCode();
    } finally {
      guard.end();
      await probes?.end();
    }
  });
}

/** Starts before the consumer does, so that it claims nothing if the port is in use. */
async function answerProbes(args: Arguments, log: Log): Promise<Probes | undefined> {
  const [port, host] = [args.integer("probe-port", 0), args.text("probe-host")];
  if (port === undefined) {
    if (host === undefined) return undefined;
    throw usageError("consume", `"--probe-host" needs a port: --probe-port <number>`);
  }
  if (port > 65_535) throw usageError("consume", `"--probe-port" must be at most 65535: current value is "${port}"`);
  const probes = await Probes.listen({ port, host });
  const text = `on port ${probes.port}: /livez and /readyz`;
  log.add({ level: "info", event: "probes", text, fields: { port: probes.port } });
  return probes;
}

function optionsOf(args: Arguments): ConsumeOptions {
  return omitUndefined({
    queues: args.list("queue"),
    concurrency: args.integer("concurrency", 1),
    drain: args.isOn("drain") || undefined,
    release: args.text("release"),
    maxTasks: args.integer("max-tasks", 1),
    pollInterval: args.duration("poll-interval"),
    lease: args.duration("lease"),
    cron: args.isOn("no-cron") ? false : undefined,
    watchdog: args.isOn("no-watchdog") ? false : undefined,
    shutdownTimeout: args.duration("shutdown-timeout"),
  }) as ConsumeOptions;
}

interface Guarded {
  ff: Firefly;
  log: Log;
  running(): number;
  exit: ExitGuard;
  options: ConsumeOptions;
}

interface ExitGuard {
  /** Counts the attempts that run, once a consumer does. */
  running: () => number;
  end(): void;
}

/**
 * Reports a handler or a module that ends the process. With the exit code 0, a supervisor would take the consumer for
 * done and not start it again, so the code becomes 1.
 */
function guardExit(log: Log): ExitGuard {
  const guard = { running: () => 0, end: () => void process.off("exit", onExit) };
  function onExit(code: number): void {
    const left = guard.running();
    const text = `A handler or a task module ended the process with exit code ${code}` +
      (left > 0 ? `, ${attempts(left)} unfinished: other consumers run them once the lease has expired` : "");
    log.add({ level: "error", event: "exit", text });
    log.flush();
    if (code === 0) process.exitCode = EXIT.unexpected;
  }
  process.on("exit", onExit);
  return guard;
}

interface Guard {
  /** The exit code of the process. */
  exitCode(): number;
  /** Removes its handlers. */
  end(): void;
}

/** SIGHUP: the terminal was closed. */
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Handles signals, unhandled rejections and uncaught exceptions. */
function guardProcess(consumer: Consumer, { ff, log, running, exit, options }: Guarded): Guard {
  let signalled: string | undefined;
  let code: number = EXIT.done;
  const grace = formatSeconds(toSeconds(options.shutdownTimeout ?? "30s", "shutdownTimeout"));

  function onSignal(signal: keyof typeof SIGNAL_CODES): void {
    if (signalled) {
      const text = `Ended at once by ${signal}, ${attempts(running())} unfinished`;
      log.add({ level: "warn", event: "ended", text });
      log.flush();
      exit.end();
      process.exit(SIGNAL_CODES[signal]);
    }
    signalled = signal;
    consumer.stop();
  }
  function onRejection(thrown: unknown): void {
    const reason = ff.redactor.redact(thrown);
    const { attempt } = currentScope();
    const where = attempt ? ` in task ${attempt.id}` : "";
    const text = `Unhandled promise rejection${where}, continuing: ${describe(reason)}`;
    log.add({ level: "error", event: "rejection", text, error: reason, withStack: true });
  }
  function onException(thrown: unknown): void {
    const error = ff.redactor.redact(thrown);
    const text = `Uncaught exception, stopping: ${describe(error)}`;
    log.add({ level: "error", event: "exception", text, error, withStack: true });
    code = EXIT.unexpected;
    consumer.stop();
  }
  function onStopping({ running }: { running: number }): void {
    const why = signalled ? `${signalled}: ` : "";
    const text = running === 0
      ? `${why}no tasks are running`
      : `${why}waiting up to ${grace} for ${attempts(running)}; a second signal ends the process at once`;
    log.add({ level: signalled ? "info" : "debug", event: "stopping", text, fields: { running } });
  }

  const signals = Object.keys(SIGNAL_CODES) as (keyof typeof SIGNAL_CODES)[];
  for (const signal of signals) process.on(signal, onSignal);
  process.on("unhandledRejection", onRejection);
  process.on("uncaughtException", onException);
  const unsubscribe = ff.on("consumer.stopping", onStopping);
  return {
    exitCode: () => code,
    end() {
      for (const signal of signals) process.off(signal, onSignal);
      process.off("unhandledRejection", onRejection);
      process.off("uncaughtException", onException);
      unsubscribe();
    },
  };
}

function attempts(count: number): string {
  return count === 1 ? "1 attempt" : `${count} attempts`;
}
