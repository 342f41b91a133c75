import process from "node:process";
import type { ConsumeOptions, Consumer } from "../consume/consume.ts";
import { toSeconds } from "../duration.ts";
import type { Instance } from "../firefly/instance.ts";
import { currentScope } from "../task/scope.ts";
import { type Arguments, asUsage, given, usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { logEvents } from "./consumer_log.ts";
import { EXIT, exitCodeOf } from "./exit_code.ts";
import { readSettings, withInstanceOf } from "./settings.ts";
import { Log } from "./log.ts";
import { Probes } from "./probes.ts";
import { describe, type Terminal } from "./terminal.ts";
import { formatSeconds } from "./times.ts";

/** `consume`: runs tasks until it is told to stop. */
export const consume: Command = {
  name: "consume",
  usage: "",
  positionals: [0, 0],
  summary: "Run tasks until SIGTERM or SIGINT",
  details:
    "The first signal stops it gracefully: it claims no more, hands back what has not begun, and waits for what " +
    "runs. A second one ends it at once; what ran is run again elsewhere once the lease is over.\n\n" +
    "It waits for a database that is down, at its start too, and tells of an outage once. Logs go to stderr: lines for " +
    "people on a terminal, JSON otherwise. Errors of handlers are stored with their tasks; the log shows their stacks " +
    "with --verbose only.\n\n" +
    "A promise that a handler left rejected and nobody listened to is logged with its stack, and the consumer goes on: " +
    "one careless task must not take the others down. After an exception that nobody caught, in a timer say, nothing is " +
    "known of the state of the process: it is logged, the consumer stops gracefully and exits with 1, for whatever " +
    "supervises it to start it again.\n\n" +
    "A handler that blocks the event loop for 0.6 of the lease takes the whole process with it, by SIGKILL (exit code " +
    "137): nothing else could run or be renewed, and others take its tasks over. See docs/kubernetes.md.",
  flags: {
    queue: { value: "name", list: "commas", description: 'The queues to consume, "default" unless configured' },
    concurrency: { value: "number", description: "How many tasks run at a time, 10 unless configured" },
    drain: { description: "Stop once nothing is ready any more" },
    "max-tasks": { value: "number", description: "Stop after this many attempts" },
    "poll-interval": { value: "duration", description: "How often to look for tasks without being told, 5s" },
    lease: { value: "duration", description: "How soon others run the tasks of a consumer that died, 30s" },
    "no-cron": { description: "Leave it to other consumers to schedule the tasks with a cron" },
    "no-watchdog": { description: "Let handlers block the event loop for as long as they like, as under a debugger" },
    "probe-port": { value: "number", description: "Answer GET /livez and /readyz on this port" },
    "probe-host": { value: "address", description: "The address to answer them on, all unless given" },
    "shutdown-timeout": { value: "duration", description: "How long a graceful stop waits for handlers, 30s" },
  },
  examples: ["consume", "consume --queue mail,default --concurrency 20", "consume --drain --json"],
  async run(args, terminal) {
    const log = new Log(terminal);
    try {
      return await consumeTasks(args, terminal, log);
    } catch (error) {
      const code = exitCodeOf(error);
      if (code === EXIT.usage) throw error;
      const shown = terminal.redactor.of(error);
      log.add({ level: "error", event: "error", text: describe(shown), error: shown });
      return code;
    } finally {
      log.flush();
    }
  },
};

async function consumeTasks(args: Arguments, terminal: Terminal, log: Log): Promise<number> {
  const flags = optionsOf(args);
  const onProgress = (message: string) => log.add({ level: "info", event: "progress", text: message });
  const { options, config } = await readSettings({ args, terminal, tasks: true, onProgress });
  const consumeOptions = { watchdog: true, ...config.consume, ...flags };
  return await withInstanceOf(options, async (ff) => {
    const running = logEvents(ff, log, consumeOptions);
    const probes = await answerProbes(args, log);
    const consumer = asUsage(() => ff.consume(consumeOptions));
    if (probes) probes.consumer = consumer;
    const guard = guardProcess(consumer, { ff, log, running, options: consumeOptions });
    try {
      await consumer.finished;
      return guard.exitCode();
    } finally {
      guard.end();
      await probes?.end();
    }
  });
}

/** From before the consumer starts, so that a port that is taken keeps it from claiming anything. */
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
  return given({
    queues: args.list("queue"),
    concurrency: args.integer("concurrency", 1),
    drain: args.isOn("drain") || undefined,
    maxTasks: args.integer("max-tasks", 1),
    pollInterval: args.duration("poll-interval"),
    lease: args.duration("lease"),
    cron: args.isOn("no-cron") ? false : undefined,
    watchdog: args.isOn("no-watchdog") ? false : undefined,
    shutdownTimeout: args.duration("shutdown-timeout"),
  }) as ConsumeOptions;
}

interface Guarded {
  ff: Instance;
  log: Log;
  running(): number;
  options: ConsumeOptions;
}

interface Guard {
  /** How the process should end, by what happened. */
  exitCode(): number;
  /** Answers no more. */
  end(): void;
}

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** Answers signals, and what user code threw past everybody. */
function guardProcess(consumer: Consumer, { ff, log, running, options }: Guarded): Guard {
  let signalled: string | undefined;
  let code: number = EXIT.done;
  const grace = formatSeconds(toSeconds(options.shutdownTimeout ?? "30s", "shutdownTimeout"));

  function onSignal(signal: keyof typeof SIGNAL_CODES): void {
    if (signalled) {
      const text = `Ended at once by ${signal}, ${attempts(running())} unfinished`;
      log.add({ level: "warn", event: "ended", text });
      log.flush();
      process.exit(SIGNAL_CODES[signal]);
    }
    signalled = signal;
    consumer.stop();
  }
  function onRejection(thrown: unknown): void {
    const reason = ff.redactor.of(thrown);
    const { attempt } = currentScope();
    const where = attempt ? ` in task ${attempt.id}` : "";
    const text = `A promise was rejected and nobody listened${where}, going on: ${describe(reason)}`;
    log.add({ level: "error", event: "rejection", text, error: reason, withStack: true });
  }
  function onException(thrown: unknown): void {
    const error = ff.redactor.of(thrown);
    const text = `An exception was not caught, stopping: ${describe(error)}`;
    log.add({ level: "error", event: "exception", text, error, withStack: true });
    code = EXIT.unexpected;
    consumer.stop();
  }
  function onStopping({ running }: { running: number }): void {
    const why = signalled ? `${signalled}: ` : "";
    const text = running === 0
      ? `${why}nothing runs`
      : `${why}waiting for ${attempts(running)}, at most ${grace}; a second signal ends them at once`;
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
