import { refuseUnknownKeys } from "../suggest.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { type Redact, Redactor } from "../privacy/redaction.ts";

/** Who looks at the dashboard, as {@linkcode DashboardOptions.authorize} says. */
export interface Viewer {
  /** The name that pages show, and that actions are recorded with. */
  readonly user?: string;
  /** Refuses every change. @default false */
  readonly readOnly?: boolean;
}

/**
 * Decides on a request. `true` or a {@linkcode Viewer} lets it through, but not one whose `user` is undefined or empty; a
 * `Response`, such as a redirect to a login, is sent as it is; anything else refuses it.
 */
export type Authorize = (
  request: Request,
) => Viewer | Response | boolean | null | undefined | Promise<Viewer | Response | boolean | null | undefined>;

/** The options of a dashboard. */
export interface DashboardOptions {
  /** The instance whose tasks it shows. */
  readonly firefly: Firefly;
  /** The path at which it is mounted, such as `/firefly`. @default "/" */
  readonly basePath?: string;
  /**
   * Decides who may see it; called for each request, assets aside. It must not read the request's body. Without it, and
   * without `open`, every page is refused.
   */
  readonly authorize?: Authorize;
  /**
   * Answers every request, as where a proxy or a middleware has decided already. Requests must then name
   * this machine or one of `hosts`. @default false
   */
  readonly open?: boolean;
  /**
   * The host names that requests may have, without ports. Loopback names and IP addresses are always allowed.
   *
   * @default any, with `authorize`; else none
   */
  readonly hosts?: readonly string[];
  /** Refuses every change by any viewer. @default false */
  readonly readOnly?: boolean;
  /** Values to hide in addition to those of the instance's own option `redact`. @default none */
  readonly redact?: Redact;
  /** A name beside the logo, such as that of the environment. @default none */
  readonly title?: string;
  /** Updates pages while they are open. @default true */
  readonly live?: boolean;
  /** Lets pages be used by keys. @default true */
  readonly keys?: boolean;
}

const KEYS = ["firefly", "basePath", "authorize", "open", "hosts", "readOnly", "redact", "title", "live", "keys"];
/** The action in errors about these options. */
const MOUNT = "make a dashboard";

/** The options of a dashboard, checked and complete. */
export interface Settings {
  readonly firefly: Firefly;
  /** Without a slash at its end: `""` at the root. */
  readonly base: string;
  readonly authorize: Authorize | undefined;
  readonly open: boolean;
  readonly hosts: readonly string[] | undefined;
  readonly readOnly: boolean;
  readonly redactors: readonly Redactor[];
  readonly title: string;
  readonly live: boolean;
  readonly keys: boolean;
}

/**
 * Checks the options of a dashboard.
 *
 * @throws {TypeError} If one is wrong.
 */
export function checkOptions(options: DashboardOptions): Settings {
  refuseUnknownKeys(options, KEYS, MOUNT);
  const { firefly, basePath = "/", authorize, hosts, redact, title = "" } = options;
  if (typeof firefly?.connect !== "function") throw wrong("firefly", "an instance of Firefly");
  if (typeof basePath !== "string" || !/^\/(?!\/)[^?#]*$/.test(basePath)) {
    throw wrong("basePath", 'a path such as "/firefly"');
  }
  if (authorize !== undefined && typeof authorize !== "function") throw wrong("authorize", "a function");
  if (hosts !== undefined && !(Array.isArray(hosts) && hosts.every((host) => /^[^\s:/]+$/.test(host)))) {
    throw wrong("hosts", "a list of host names without ports");
  }
  if (typeof title !== "string") throw wrong("title", "text");
  for (const name of ["open", "readOnly", "live", "keys"] as const) {
    if (options[name] !== undefined && typeof options[name] !== "boolean") throw wrong(name, "true or false");
  }
  if (authorize && options.open) throw new TypeError(`Cannot ${MOUNT} as "authorize" and "open" exclude each other`);
  return {
    firefly,
    base: basePath.replace(/\/+$/, ""),
    authorize,
    open: options.open ?? false,
    hosts: hosts?.map((host) => host.toLowerCase()),
    readOnly: options.readOnly ?? false,
    redactors: [firefly.redactor, ...(redact === undefined ? [] : [new Redactor(redact, MOUNT)])],
    title,
    live: options.live ?? true,
    keys: options.keys ?? true,
  };
}

function wrong(name: string, expected: string): TypeError {
  return new TypeError(`Cannot ${MOUNT} as "${name}" must be ${expected}`);
}
