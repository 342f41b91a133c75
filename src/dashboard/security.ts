import { isIP } from "node:net";
import { refuseUnknownKeys } from "../suggest.ts";
import type { Settings, Viewer } from "./options.ts";

/** Why a request is refused: what to say to a person, and to the one who mounted the dashboard. */
export interface Refusal {
  readonly status: 400 | 403 | 413 | 415;
  readonly title: string;
  readonly reason: string;
  readonly advice: string;
}

/** The most bytes of a form: arguments of a task may be long. */
export const MAX_FORM = 1_000_000;

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The headers of every response. */
export const SECURE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // Not "no-referrer", with which browsers send the origin of a posted form as "null".
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** A name or an address, and perhaps a port: nothing that a parser of URLs could take for a login or a path. */
const HOST = /^(\[[\da-f:.]+\]|[^\s:/?#@\\]+)(?::\d+)?$/i;

/** Returns the host that a request names, in lower case and without its port; `""` if it names none. */
function hostOf(request: Request): string {
  const named = request.headers.get("host") ?? new URL(request.url).host;
  return HOST.exec(named)?.[1]?.toLowerCase() ?? "";
}

/** Whether no name of an attacker can be meant: loopback names, and addresses. */
function isLocal(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || isIP(host.replace(/^\[|\]$/g, "")) > 0;
}

/**
 * Refuses a request that names another host than those allowed. A page of an attacker can make its own name lead to this
 * machine, and then read whatever needs no login; but it cannot make the browser send another name.
 */
export function refuseHost(request: Request, { hosts, authorize }: Settings): Refusal | undefined {
  const host = hostOf(request);
  if (hosts === undefined && authorize !== undefined) return undefined; // its login is not sent to other names
  if (isLocal(host) || hosts?.includes(host)) return undefined;
  return {
    status: 403,
    title: "This name is not allowed",
    reason: "The request names a host that this dashboard does not know.",
    advice: "List it in the option hosts, or set authorize.",
  };
}

/** What {@linkcode authorizeRequest} decides. */
export type Decision =
  | { readonly viewer: Viewer & { readOnly: boolean } }
  | { readonly refusal: Refusal }
  | { readonly response: Response };

/** Decides whether a request may look, and whether it may change anything. */
export async function authorizeRequest(request: Request, settings: Settings): Promise<Decision> {
  const { authorize, open, readOnly } = settings;
  if (open) return { viewer: { readOnly } };
  if (!authorize) {
    return {
      refusal: {
        status: 403,
        title: "No one may see this dashboard yet",
        reason: "It was mounted without saying who may see it.",
        advice: "Pass authorize to dashboard(), or open: true where a proxy or a middleware has decided already.",
      },
    };
  }
  const answer = await authorize(request);
  if (isResponse(answer)) return { response: answer };
  if (answer === true) return { viewer: { readOnly } };
  const viewer = viewerOf(answer);
  if (viewer) return { viewer: { ...viewer, readOnly: readOnly || (viewer.readOnly ?? false) } };
  return {
    refusal: {
      status: 403,
      title: "You may not see this dashboard",
      reason: "The application that serves it does not let you in.",
      advice: "Its function authorize() decides that.",
    },
  };
}

/** Whether it is a response, of this runtime or of a library: one that refuses must not be taken for a viewer. */
function isResponse(answer: unknown): answer is Response {
  if (answer instanceof Response) return true;
  return typeof answer === "object" && answer !== null && "status" in answer && "headers" in answer;
}

/**
 * The viewer that `authorize()` names; undefined if it names none. `{ user: session?.user }` is none without a session.
 *
 * @throws {TypeError} If it has other properties, such as a row of a table of users, of whom not all may see this.
 */
function viewerOf(answer: unknown): Viewer | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  refuseUnknownKeys(answer, ["user", "readOnly"], "authorize a request");
  const { user, readOnly } = answer as { user?: unknown; readOnly?: unknown };
  if ("user" in answer && (typeof user !== "string" || user === "")) return undefined;
  return { ...(typeof user === "string" ? { user } : {}), readOnly: Boolean(readOnly) };
}

/**
 * Refuses a form that another site has sent. Browsers say where it comes from, in `Sec-Fetch-Site` or, over plain http,
 * in `Origin`; a request with neither is no form of this dashboard.
 */
export function refuseForgery(request: Request): Refusal | undefined {
  const site = request.headers.get("sec-fetch-site");
  if (site === "same-origin" || site === null && isSameOrigin(request)) return undefined;
  return {
    status: 403,
    title: "This form comes from elsewhere",
    reason: "Nothing was changed, since another site may have sent the form.",
    advice: "Open the page here and press the button again. A proxy must pass the headers Host and Origin on.",
  };
}

/** Whether the origin is the host that the request names; a proxy may have ended TLS, so that the scheme says nothing. */
function isSameOrigin(request: Request): boolean {
  const origin = request.headers.get("origin");
  if (origin === null || !URL.canParse(origin)) return false;
  return new URL(origin).host === (request.headers.get("host") ?? new URL(request.url).host);
}

/** Reads a form; refuses one that is too long, or none at all. */
export async function readForm(request: Request): Promise<URLSearchParams | Refusal> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded") return refuseForm(415, "It is no form of this dashboard.");
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > MAX_FORM) return refuseForm(413, `It is longer than ${MAX_FORM / 1e6} MB.`);
  const decoder = new TextDecoder();
  let [text, length] = ["", 0];
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > MAX_FORM) return refuseForm(413, `It is longer than ${MAX_FORM / 1e6} MB.`);
    text += decoder.decode(chunk, { stream: true });
  }
  return new URLSearchParams(text + decoder.decode());
}

function refuseForm(status: 413 | 415, reason: string): Refusal {
  return { status, title: "This form cannot be read", reason, advice: "Nothing was changed." };
}

/** The refusal of a change by a viewer who may only look. */
export const READ_ONLY: Refusal = {
  status: 403,
  title: "You may look, but not change anything",
  reason: "This dashboard is read-only for you. Nothing was changed.",
  advice: "The options authorize and readOnly of dashboard() decide that.",
};
