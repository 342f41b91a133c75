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
const RING_DEADLINE = 3_000;
/** Sessions that a pool is tried with: they get one backend in turn only where transactions share them. */
const POOL_ROUNDS = 4;

/** What to do about a database that cannot be reached, by the code of the error. */
const CURES: readonly [code: RegExp, cure: string][] = [
  [/^28/, "Check the user and the password of the database URL, and pg_hba.conf of the server"],
  [/^3D000/, "Create the database, or correct its name in the database URL"],
  [/^53300/, "The server has no connection left: raise max_connections, or close some"],
  [/^57P03/, "The server is starting or stopping: try again in a moment"],
  [/^(ENOTFOUND|EAI_)/, "Correct the host of the database URL: nobody knows its name"],
  [/^ECONNREFUSED/, "Start the server, or correct the host and the port of the database URL: nobody listens there"],
];

/** Reaches the server. */
const connection: Check = {
  name: "connection",
  after: [],
  async ask(patient) {
    const started = performance.now();
    try {
      patient.server = await patient.read(readServer);
    } catch (error) {
      return unreachable(error);
    }
    const { options: { settings }, server } = patient;
    return ok(`${settings.label} as ${server.user}, in ${Math.round(performance.now() - started)} ms`);
  },
};

/** The finding for a database that cannot be reached. */
export function unreachable(error: unknown): Finding {
  const { cause, message } = error as { cause?: unknown; message: string };
  const reason = cause instanceof AggregateError ? cause.errors[0] : cause ?? error;
  const [, cure] = CURES.find(([code]) => code.test(codeOf(reason))) ?? [];
  return found("wrong", message, cure ?? "Check that the server runs, and that a firewall lets this machine through");
}

const server: Check = {
  name: "server",
  after: ["connection"],
  ask({ server }) {
    const { version, versionText, standby, readOnly } = server!;
    const value = `PostgreSQL ${versionText}`;
    if (standby) return result(found("wrong", `${value}, a standby`, "Use the URL of the primary"));
    if (version < OLDEST_MAJOR * 10_000) {
      return result(found("wrong", value, `Update the server: Firefly needs PostgreSQL ${OLDEST_MAJOR} or later`));
    }
    if (!readOnly) return result(ok(value));
    return result(found("wrong", `${value}, read only`, "Turn default_transaction_read_only off"));
  },
};

/** Settings under which a crash of the server costs what was committed, or under which tables only grow. */
const settings: Check = {
  name: "settings",
  after: ["connection"],
  ask({ server }) {
    return result(gradeSettings(server!));
  },
};

/** The verdict on the settings of a server. */
export function gradeSettings(
  { fsync, fullPageWrites, synchronousCommit, autovacuum }: Pick<
    ServerState,
    "fsync" | "fullPageWrites" | "synchronousCommit" | "autovacuum"
  >,
): Finding {
  const off = Object.entries({ fsync, full_page_writes: fullPageWrites, synchronous_commit: synchronousCommit })
    .filter(([, isOn]) => !isOn).map(([name]) => name);
  const advice = off.map((name) => `Turn ${name} on: without it, a crash of the server may lose what was committed`);
  if (!autovacuum) {
    advice.push("Turn autovacuum and track_counts on: without them, the tables of the queue only grow");
  }
  const value = [...off, ...(autovacuum ? [] : ["autovacuum"])];
  return value.length ? found("warning", `${value.join(", ")} off`, ...advice) : ok("nothing is turned off");
}

/** Looks for a pooler as every instance does, and then whether two connections through it get one backend in turn. */
const pooler: Check = {
  name: "pooler",
  after: ["connection"],
  async ask(patient) {
    const database = await Database.open(patient.options.settings, patient.options.schema);
    await database.end();
    if (!database.settings.pooled) return ok("none");
    patient.pooled = await sharesSessions(patient);
    if (!patient.pooled) return ok("one that gives each connection a session of its own");
    if (patient.options.listening) return ok("one that shares sessions, with listenDatabase beside it");
    return found(
      "warning",
      "one that shares sessions between transactions",
      "Set listenDatabase in the configuration to the server's own URL: through this pooler nobody can LISTEN",
    );
  },
};

async function sharesSessions(patient: Target): Promise<boolean> {
  const sessions = [patient.open(), patient.open()];
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

/** Compares the clocks by the fastest of some round trips. */
const clock: Check = {
  name: "clock",
  after: ["connection"],
  async ask(patient) {
    const best = await patient.read(async (sql) => {
      let best = { trip: Infinity, skew: 0 };
      for (let i = 0; i < ROUND_TRIPS; i++) {
        const [sent, from] = [Date.now(), performance.now()];
        const at = await readMoment(sql);
        const trip = performance.now() - from;
        if (trip < best.trip) best = { trip, skew: at - (sent + trip / 2) };
      }
      return best;
    });
    // Half of the round trip is how far the comparison itself may be out.
    const seconds = Math.max(0, Math.abs(best.skew) - best.trip / 2) / 1000;
    const value = `the database is ${Math.abs(best.skew / 1000).toFixed(3)} s ${best.skew < 0 ? "behind" : "ahead"}`;
    const verdict = grade(seconds, { warning: 1, wrong: 60 });
    if (verdict === "ok") return ok(value);
    return found(
      verdict,
      value,
      "Let NTP set both clocks. Leases and crons go by the database's; a notBefore made here is out by as much",
    );
  },
};

/** A notification to itself, on a channel of its own. */
const listener: Check = {
  name: "listener",
  after: ["connection", "server"],
  async ask(patient) {
    const { schema, listening } = patient.options;
    if (patient.pooled && !listening) {
      return found("warning", "nobody can listen through the pooler", "Set listenDatabase: until then consumers poll");
    }
    const channel = `${schema}:doctor_${crypto.randomUUID().slice(0, 8)}`;
    const notified = Promise.withResolvers<void>();
    const session = patient.open({ onnotify: (name) => name === channel && notified.resolve() }, listening);
    try {
      const sql = session.tag(schema);
      await withDeadline(listenOn(sql, channel), RING_DEADLINE);
      const started = performance.now();
      const sender = patient.open();
      try {
        await withDeadline(notify(sender.tag(schema), channel), RING_DEADLINE);
        await withDeadline(notified.promise, RING_DEADLINE);
      } finally {
        sender.discard();
      }
      return ok(`a notification came back in ${Math.round(performance.now() - started)} ms`);
    } catch (error) {
      return found(
        "wrong",
        `no notification came back: ${(error as Error).message}`,
        "Connect without a pooler, or set listenDatabase to the server's own URL: until then consumers poll",
      );
    } finally {
      session.discard();
    }
  },
};

/** How much of the queue of notifications is used: full, it makes every commit fail that notifies. */
const notifications: Check = {
  name: "notifications",
  after: ["connection", "server"],
  ask({ server }) {
    return result(gradeNotifications(server!.notificationUsage));
  },
};

/** The verdict on `pg_notification_queue_usage()`. */
export function gradeNotifications(usage: number): Finding {
  const value = `${(usage * 100).toFixed(usage > 0 && usage < 0.01 ? 4 : 0)}% of their queue is used`;
  const verdict = grade(usage, { warning: 0.1, wrong: 0.5 });
  if (verdict === "ok") return ok(value);
  return found(verdict, value, "End the oldest transaction of a session that listens: the server's log names it");
}

const connections: Check = {
  name: "connections",
  after: ["connection"],
  ask({ server }) {
    const { connections, maxConnections, reservedConnections } = server!;
    return result(gradeConnections(connections, maxConnections - reservedConnections));
  },
};

/** The verdict on so many connections of those that may be. */
export function gradeConnections(used: number, most: number): Finding {
  const value = `${used} of ${most} are used`;
  const verdict = grade(used / most, { warning: 0.8, wrong: 0.95 });
  if (verdict === "ok") return ok(value);
  return found(verdict, value, "Raise max_connections, or put a pooler before the server: who comes next is refused");
}

function result(finding: Finding): Promise<Finding> {
  return Promise.resolve(finding);
}

/** What is asked of the server and of the way to it. */
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
