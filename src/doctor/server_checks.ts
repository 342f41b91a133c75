import { Database } from "../database/pools.ts";
import { withDeadline } from "../database/deadline.ts";
import { codeOf } from "../database/error_codes.ts";
import { OLDEST_MAJOR } from "../embedded/installed_binaries.ts";
import { readBackend, readMoment, readServer, type ServerState } from "../store/health.ts";
import { notify } from "../store/listen.ts";
import { listenOn } from "../store/listen.ts";
import { type Check, type Finding, found, grade, ok } from "./check.ts";
import type { Target } from "./target.ts";

const ROUND_TRIPS = 5;
const NOTIFY_DEADLINE = 3_000;
/** Rounds of two sessions: they get the same backends only where transactions share them. */
const POOL_ROUNDS = 4;

/** What to do about an unreachable database, by the error's code. */
const FIXES: readonly [code: RegExp, fix: string][] = [
  [/^28/, "Check the user and password in the database URL, and the server's pg_hba.conf"],
  [/^3D000/, "Create the database, or correct its name in the database URL"],
  [/^53300/, "The server has no free connections: raise max_connections, or close some"],
  [/^57P03/, "The server is starting or stopping: try again in a moment"],
  [/^(ENOTFOUND|EAI_)/, "Correct the host in the database URL: its name cannot be resolved"],
  [/^ECONNREFUSED/, "Start the server, or correct the host and port in the database URL: no server listens there"],
];

/** Connects to the server. */
const connection: Check = {
  name: "connection",
  after: [],
  async ask(target) {
    const started = performance.now();
    try {
      target.server = await target.read(readServer);
    } catch (error) {
      return connectionFailure(error);
    }
    const { options: { settings }, server } = target;
    return ok(`${settings.label} as ${server.user}, in ${Math.round(performance.now() - started)} ms`);
  },
};

/** The finding for an unreachable database. */
export function connectionFailure(error: unknown): Finding {
  const { cause, message } = error as { cause?: unknown; message: string };
  const reason = cause instanceof AggregateError ? cause.errors[0] : cause ?? error;
  const [, fix] = FIXES.find(([code]) => code.test(codeOf(reason))) ?? [];
  return found("wrong", message, fix ?? "Check that the server is running and that no firewall blocks this machine");
}

const server: Check = {
  name: "server",
  after: ["connection"],
  ask({ server }) {
    const { version, versionText, standby, readOnly } = server!;
    const value = `PostgreSQL ${versionText}`;
    if (standby) return result(found("wrong", `${value}, a standby`, "Use the URL of the primary server"));
    if (version < OLDEST_MAJOR * 10_000) {
      return result(found("wrong", value, `Update the server: Firefly needs PostgreSQL ${OLDEST_MAJOR} or later`));
    }
    if (!readOnly) return result(ok(value));
    return result(found("wrong", `${value}, read-only`, "Turn off default_transaction_read_only"));
  },
};

/** Settings with which a server crash loses committed data, or with which tables only grow. */
const settings: Check = {
  name: "settings",
  after: ["connection"],
  ask({ server }) {
    return result(gradeSettings(server!));
  },
};

/** Grades the settings of a server. */
export function gradeSettings(
  { fsync, fullPageWrites, synchronousCommit, autovacuum }: Pick<
    ServerState,
    "fsync" | "fullPageWrites" | "synchronousCommit" | "autovacuum"
  >,
): Finding {
  const off = Object.entries({ fsync, full_page_writes: fullPageWrites, synchronous_commit: synchronousCommit })
    .filter(([, isOn]) => !isOn).map(([name]) => name);
  const advice = off.map((name) => `Turn on ${name}: without it, a server crash may lose committed data`);
  if (!autovacuum) {
    advice.push("Turn on autovacuum and track_counts: without them, Firefly's tables only grow");
  }
  const value = [...off, ...(autovacuum ? [] : ["autovacuum"])];
  return value.length ? found("warning", `${value.join(", ")} off`, ...advice) : ok("none is turned off");
}

/** Detects a pooler as every instance does, then whether two connections through it share backends. */
const pooler: Check = {
  name: "pooler",
  after: ["connection"],
  async ask(target) {
    const database = await Database.open(target.options.settings, target.options.schema);
    await database.end();
    if (!database.settings.pooled) return ok("none");
    target.pooled = await sharesSessions(target);
    if (!target.pooled) return ok("session pooler: each connection has its own session");
    if (target.options.listening) return ok("transaction pooler, with listenDatabase set");
    return found(
      "warning",
      "transaction pooler: connections share sessions",
      "Set listenDatabase in the configuration to the server's direct URL: LISTEN does not work through this pooler",
    );
  },
};

async function sharesSessions(target: Target): Promise<boolean> {
  const sessions = [target.open(), target.open()];
  try {
    const pids: number[][] = [[], []];
    for (let round = 0; round < POOL_ROUNDS; round++) {
      for (const [i, session] of sessions.entries()) pids[i]!.push(await readBackend(session.tag("")));
    }
    return new Set(pids[0]).size > 1 || pids[0]!.some((pid) => pids[1]!.includes(pid));
  } finally {
    for (const session of sessions) session.discard();
  }
}

/** Compares the clocks by the fastest of several round trips. */
const clock: Check = {
  name: "clock",
  after: ["connection"],
  async ask(target) {
    const best = await target.read(async (sql) => {
      let best = { trip: Infinity, skew: 0 };
      for (let i = 0; i < ROUND_TRIPS; i++) {
        const [sent, from] = [Date.now(), performance.now()];
        const at = await readMoment(sql);
        const trip = performance.now() - from;
        if (trip < best.trip) best = { trip, skew: at - (sent + trip / 2) };
      }
      return best;
    });
    // The comparison itself may be off by half of the round trip.
    const seconds = Math.max(0, Math.abs(best.skew) - best.trip / 2) / 1000;
    const value = `the database is ${Math.abs(best.skew / 1000).toFixed(3)} s ${best.skew < 0 ? "behind" : "ahead"}`;
    const verdict = grade(seconds, { warning: 1, wrong: 60 });
    if (verdict === "ok") return ok(value);
    return found(
      verdict,
      value,
      "Synchronize both clocks with NTP: leases and crons use the database's clock, so a notBefore computed here is off",
    );
  },
};

/** Sends itself a notification on a channel of its own. */
const listener: Check = {
  name: "listener",
  after: ["connection", "server"],
  async ask(target) {
    const { schema, listening } = target.options;
    if (target.pooled && !listening) {
      return found(
        "warning",
        "no session can LISTEN through the pooler",
        "Set listenDatabase: until then, consumers poll",
      );
    }
    const channel = `${schema}:doctor_${crypto.randomUUID().slice(0, 8)}`;
    const notified = Promise.withResolvers<void>();
    const session = target.open({ onnotify: (name) => name === channel && notified.resolve() }, listening);
    try {
      const sql = session.tag(schema);
      await withDeadline(listenOn(sql, channel), NOTIFY_DEADLINE);
      const started = performance.now();
      const sender = target.open();
      try {
        await withDeadline(notify(sender.tag(schema), channel), NOTIFY_DEADLINE);
        await withDeadline(notified.promise, NOTIFY_DEADLINE);
      } finally {
        sender.discard();
      }
      return ok(`a notification arrived in ${Math.round(performance.now() - started)} ms`);
    } catch (error) {
      return found(
        "wrong",
        `no notification arrived: ${(error as Error).message}`,
        "Connect without a pooler, or set listenDatabase to the server's direct URL: until then, consumers poll",
      );
    } finally {
      session.discard();
    }
  },
};

/** How much of the notification queue is used. If it is full, every commit that notifies fails. */
const notifications: Check = {
  name: "notifications",
  after: ["connection", "server"],
  ask({ server }) {
    return result(gradeNotifications(server!.notificationUsage));
  },
};

/** Grades `pg_notification_queue_usage()`. */
export function gradeNotifications(usage: number): Finding {
  const value = `${(usage * 100).toFixed(usage > 0 && usage < 0.01 ? 4 : 0)}% of the notification queue is used`;
  const verdict = grade(usage, { warning: 0.1, wrong: 0.5 });
  if (verdict === "ok") return ok(value);
  return found(verdict, value, "End the oldest transaction of a listening session: the server's log names it");
}

const connections: Check = {
  name: "connections",
  after: ["connection"],
  ask({ server }) {
    const { connections, maxConnections, reservedConnections } = server!;
    return result(gradeConnections(connections, maxConnections - reservedConnections));
  },
};

/** Grades the number of used connections. */
export function gradeConnections(used: number, most: number): Finding {
  const value = `${used} of ${most} in use`;
  const verdict = grade(used / most, { warning: 0.8, wrong: 0.95 });
  if (verdict === "ok") return ok(value);
  return found(
    verdict,
    value,
    "Raise max_connections, or use a pooler: the server refuses further connections when all are in use",
  );
}

function result(finding: Finding): Promise<Finding> {
  return Promise.resolve(finding);
}

/** The checks of the server and the connection to it. */
export const SERVER_CHECKS: readonly Check[] = [
  connection,
  server,
  settings,
  pooler,
  clock,
  listener,
  notifications,
  connections,
];
