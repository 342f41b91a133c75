/**
 * The dashboard of Firefly: a handler of web requests, to be mounted at any path of a server.
 *
 * @example Serve it on this machine alone
 * ```ts ignore
 * import { Firefly } from "@firefly/tasks";
 * import { dashboard } from "@firefly/tasks/dashboard";
 *
 * const board = dashboard({ firefly: new Firefly(), open: true });
 *
 * Deno.serve({ hostname: "127.0.0.1" }, (request) => board.fetch(request));
 * ```
 *
 * @module
 */
export { type Dashboard, dashboard } from "./src/dashboard/dashboard.ts";
export type { Authorize, DashboardOptions, Viewer } from "./src/dashboard/options.ts";
