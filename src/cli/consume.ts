import process from "node:process";
import { type Arguments, asUsage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { CONSUME_SETTINGS, type ConsumeSettings, readConsumeSettings } from "./consume_flags.ts";
import { type ExitGuard, guardExit, guardProcess } from "./consume_guard.ts";
import { consumeWatching } from "./consume_watch.ts";
import { logEvents } from "./consumer_log.ts";
import { EXIT, exitCodeOf } from "./exit_code.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { watchMemory } from "./memory_limit.ts";
import { readSettings, withInstanceOf } from "./settings.ts";
import { Log } from "./log.ts";
import { logFormatOf } from "./log_format.ts";
import { Probes } from "./probes.ts";
import { describe, type Terminal } from "./terminal.ts";

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
    "lines on a terminal, JSON otherwise; --log-format chooses. Errors of handlers are stored with their tasks; the log shows their stack " +
    "traces only with --verbose.\n\n" +
    "An unhandled promise rejection is logged with its stack trace and the consumer continues, as one careless task " +
    "must not stop the others. After an uncaught exception, for example in a timer, the state of the process is " +
    "unknown: it is logged, and the consumer stops gracefully and exits with 1, so that a supervisor can restart it. " +
    "So does a handler that calls process.exit(0): the tasks of the process run elsewhere once its lease has expired.\n\n" +
    "If a handler blocks the event loop for 0.6 of the lease, the watchdog kills the process with SIGKILL (exit code " +
    "137): it could neither run other tasks nor renew its lease, and other consumers take over its tasks. A supervisor, " +
    "such as systemd or Kubernetes, has to start it again.",
  flags: {
    ...CONSUME_SETTINGS,
    once: { description: "Run one task, if one is ready, and exit: as --drain --max-tasks 1" },
    watch: {
      description: "For development: start again when a module changes; running tasks are handed back, uncounted",
    },
  },
  examples: ["consume", "consume --queue mail,default --concurrency 20", "consume --drain --json"],
  async run(args, terminal) {
    const log = new Log(terminal, logFormatOf(args, terminal));
    try {
      if (args.isOn("watch")) return await consumeWatching(process.argv.slice(2), log);
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
  readConsumeSettings(args); // a wrong flag is refused before any module is imported
  const onProgress = (message: string) => log.add({ level: "info", event: "progress", text: message });
  const deployedBy = args.sourceOf("probe-port");
  const request = { args, terminal, tasks: "required", ownStdout: true, onProgress, deployedBy } as const;
  const { options, config } = await readSettings(request);
  const settings = readConsumeSettings(args, config.consume);
  return await withInstanceOf(options, async (ff) => {
    const running = logEvents(ff, log, settings.options);
    exit.running = running;
    const probes = await answerProbes(settings, { ff, log });
    const consumer = asUsage(() => ff.consume(settings.options));
    if (probes) probes.consumer = consumer;
    const guard = guardProcess(consumer, { ff, log, running, exit, options: settings.options });
    const { maxMemory } = settings;
    const stop = (text: string) => guard.stop({ code: EXIT.tooMuchMemory, text });
    const endMemory = maxMemory && watchMemory(ff, maxMemory, stop);
    try {
      await consumer.finished;
      return guard.exitCode();
    } finally {
      if (endMemory) endMemory();
      guard.end();
      await probes?.end();
    }
  });
}

/** Starts before the consumer does, so that it claims nothing if the port is in use. */
async function answerProbes(
  { probePort, probeHost }: ConsumeSettings,
  { ff: firefly, log }: { readonly ff: Firefly; readonly log: Log },
): Promise<Probes | undefined> {
  if (probePort === undefined) return undefined;
  const probes = await Probes.listen({ port: probePort, host: probeHost, firefly });
  const text = `on port ${probes.port}: /livez, /readyz and /metrics`;
  log.add({ level: "info", event: "probes", text, fields: { port: probes.port } });
  return probes;
}
