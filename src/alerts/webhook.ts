import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { Fail } from "../task/context.ts";
import type { AlertWebhook } from "./options.ts";

/** An alert as a task has it. */
export interface Alert {
  /** What it reports, such as `task.failed`. */
  readonly type: string;
  /** When it was scheduled, in ISO 8601. */
  readonly timestamp: string;
  /** The cause. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** An alert that is about to be sent. */
export interface Message extends Alert {
  /** Its identity, the same in each attempt. */
  readonly id: string;
  /** Ends the request. */
  readonly signal: AbortSignal;
}

/** The status of a receiver that is gone for good. */
const GONE = 410;

/**
 * Sends an alert by POST, with the headers of https://www.standardwebhooks.com. Any answer but 2xx is an error, and so
 * is a redirection: the signed text goes to the configured address alone.
 *
 * @throws {Fail} If the receiver says that it is gone.
 */
export async function sendAlert(webhook: Readonly<AlertWebhook>, message: Message): Promise<void> {
  const { id, type, timestamp, data, signal } = message;
  const body = JSON.stringify({ type, timestamp, text: describeAlert(message), data });
  const sentAt = String(Math.floor(Date.now() / 1000)); // receivers compare it with their own clock
  const headers = new Headers(webhook.headers);
  headers.set("content-type", "application/json; charset=utf-8");
  headers.set("webhook-id", id);
  headers.set("webhook-timestamp", sentAt);
  if (webhook.secret !== undefined) {
    headers.set("webhook-signature", `v1,${sign(webhook.secret, `${id}.${sentAt}.${body}`)}`);
  }
  const { host } = new URL(webhook.url);
  let response: Response;
  try {
    response = await fetch(webhook.url, { method: "POST", headers, body, redirect: "manual", signal });
  } catch {
    // The error of the runtime has the whole address, which may hold a secret, and would be stored.
    throw new Error(`Cannot send the alert: no answer from ${host}`);
  }
  await response.body?.cancel();
  if (response.ok) return;
  const text = `Cannot send the alert: ${host} answered with status ${response.status}`;
  throw response.status === GONE ? new Fail(text) : new Error(text);
}

function sign(secret: string, content: string): string {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : secret;
  return createHmac("sha256", key).update(content).digest("base64");
}

/** Says in a sentence what an alert reports: chats show `text`. */
export function describeAlert({ type, data }: Alert): string {
  switch (type) {
    case "task.failed": {
      const { name, queue, tasks, error, ids } = data as unknown as FailedData;
      const what = tasks === 1 ? `Task ${ids[0]} "${name}"` : `${tasks} tasks "${name}"`;
      return `${what} of queue "${queue}" failed: ${error.name}: ${error.message}`;
    }
    case "queue.backlog": {
      const { queue, backlog, oldestSeconds, consumers, paused } = data as unknown as BacklogData;
      const who = paused
        ? "it is paused"
        : consumers === 1
        ? "1 consumer serves it"
        : `${consumers} consumers serve it`;
      return `Queue "${queue}" has a backlog of ${backlog}, the oldest due for ${Math.round(oldestSeconds)} s; ${who}`;
    }
    case "queue.backlog_over":
      return `Queue "${data.queue}" has no such backlog any more`;
    case "consumer.lost": {
      const consumers = data.consumers as { host: string; pid: number; queues: string[] }[];
      const which = consumers.map(({ host, pid, queues }) => `process ${pid} on ${host} (${queues.join(", ")})`);
      return `Lost ${consumers.length === 1 ? "a consumer" : `${consumers.length} consumers`}: ${which.join(", ")}`;
    }
    default:
      return type;
  }
}

interface FailedData {
  readonly name: string;
  readonly queue: string;
  readonly tasks: number;
  readonly ids: readonly number[];
  readonly error: { readonly name: string; readonly message: string };
}

interface BacklogData {
  readonly queue: string;
  readonly backlog: number;
  readonly oldestSeconds: number;
  readonly consumers: number;
  readonly paused: boolean;
}
