import process from "node:process";
import type { Consumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { toSeconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { currentScope } from "../task/scope.ts";
import { EXIT } from "./exit_code.ts";
import { watcherPort } from "./consume_watch.ts";
import type { Log } from "./log.ts";
import { describe } from "./terminal.ts";
import { formatSeconds } from "../times.ts";

/** What the guard of a consumer watches. */
export interface Guarded {
  ff: Firefly;
  log: Log;
  running(): number;
  exit: ExitGuard;
  options: ConsumeOptions;
}

/** Watches for the end of the process. */
export interface ExitGuard {
  /** Counts the attempts that run, once a consumer does. */
  running: () => number;
  end(): void;
}

/**
 * Reports a handler or a module that ends the process. With the exit code 0, a supervisor would take the consumer for
 * done and not start it again, so the code becomes 1.
 */
export function guardExit(log: Log): ExitGuard {
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

/** Watches a consumer. */
export interface Guard {
  /** The exit code of the process. */
  exitCode(): number;
  /** Stops the consumer gracefully, with this exit code and a warning. */
  stop(why: { code: number; text: string }): void;
  /** Removes its handlers. */
  end(): void;
}

/** SIGHUP: the terminal was closed. */
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Handles signals, unhandled rejections and uncaught exceptions. */
export function guardProcess(consumer: Consumer, { ff, log, running, exit, options }: Guarded): Guard {
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

  function stop(why: { code: number; text: string }): void {
    log.add({ level: "warn", event: "stopping", text: why.text });
    code = why.code;
    consumer.stop();
  }

  // The main thread of --watch gets the signals, and asks this one to stop.
  const port = watcherPort();
  const signals = port ? [] : Object.keys(SIGNAL_CODES) as (keyof typeof SIGNAL_CODES)[];
  const onMessage = () => void consumer.stop();
  port?.on("message", onMessage);
  for (const signal of signals) process.on(signal, onSignal);
  const unsubscribeScaled = ff.on("consumer.scaled", ({ concurrency, before }) => {
    const text = `up to ${concurrency} at a time, not ${before}, as \`consumers set\` asked for`;
    log.add({ level: "info", event: "scaled", text, fields: { concurrency, before } });
  });
  process.on("unhandledRejection", onRejection);
  process.on("uncaughtException", onException);
  const unsubscribe = ff.on("consumer.stopping", onStopping);
  return {
    exitCode: () => code,
    stop,
    end() {
      for (const signal of signals) process.off(signal, onSignal);
      process.off("unhandledRejection", onRejection);
      process.off("uncaughtException", onException);
      unsubscribe();
      unsubscribeScaled();
      port?.off("message", onMessage);
      port?.unref(); // and not close(), which Deno lacks here, and after which the exit code cannot be posted
    },
  };
}

function attempts(count: number): string {
  return count === 1 ? "1 attempt" : `${count} attempts`;
}
