import { dashboard, type DashboardOptions } from "../../dashboard.ts";
import type { Scene } from "./dashboard_scene.ts";

/** A dashboard that is served at a port of its own. */
export interface ServedDashboard extends AsyncDisposable {
  /** Where it is, without a slash at the end. */
  readonly url: string;
  /** Ends the server, as if its process had been killed. */
  stop(): Promise<void>;
  /** Starts the server again at the same port. */
  restart(): void;
}

/** Serves a dashboard at the root of a port of loopback. */
export function serveDashboard(options: DashboardOptions): ServedDashboard {
  const board = dashboard({ open: options.authorize === undefined, title: "prod", ...options });
  const listen = (port: number) => {
    const closing = new AbortController();
    const { signal } = closing;
    const server = Deno.serve(
      { hostname: "127.0.0.1", port, signal, onListen() {} },
      (request) => board.fetch(request),
    );
    return { closing, server };
  };
  let { closing, server } = listen(0);
  const { port } = server.addr;
  const stop = async () => {
    closing.abort(); // and not shutdown(), which waits for streams to end
    await server.finished;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    stop,
    restart: () => void ({ closing, server } = listen(port)),
    async [Symbol.asyncDispose]() {
      await stop();
      board.close();
    },
  };
}

/** The pages of a scene, by the names of their pictures. */
export function pagesOf({ ids }: Pick<Scene, "ids">): Record<string, string> {
  const tasks = (q: string) => `/tasks?q=${encodeURIComponent(q)}`;
  const question = (action: string, q: string) => `/tasks/${action}?q=${encodeURIComponent(q)}`;
  return {
    "index": "/",
    "index-week": "/?range=week",
    "tasks": tasks("status:failed name:mail.send"),
    "tasks-all": "/tasks",
    "tasks-waiting": tasks("place:limit,unknown"),
    "tasks-none": tasks(`name:nowhere "<b>" wrong:token`),
    "tasks-confirm": question("retry", "status:failed name:mail.send"),
    "tasks-delete": question("delete", "status:failed"),
    "new": `/new?from=${ids.completed}`,
    "task-failed": `/tasks/${ids.failed}`,
    "task-hostile": `/tasks/${ids.hostile}`,
    "task-big": `/tasks/${ids.big}`,
    "task-undecryptable": `/tasks/${ids.undecryptable}`,
    "task-retrying": `/tasks/${ids.retrying}`,
    "task-running": `/tasks/${ids.running}`,
    "task-waiting": `/tasks/${ids.unknown}`,
    "task-limited": `/tasks/${ids.limited}`,
    "task-steps": `/tasks/${ids.steps}`,
    "task-step": `/tasks/${ids.steps}/step?name=charge`,
    "task-signal": `/tasks/${ids.steps}/signal?name=order.approved`,
    "task-fork": `/tasks/${ids.steps}/fork?name=reserve`,
    "graph": `/tasks/${ids.graph}/graph`,
    "graph-waiting": `/tasks/${ids.dependent}/graph`,
    "graph-calls": `/tasks/${ids.steps}/graph`,
    "waits": "/waits",
    "tasks-suspended": tasks("status:suspended"),
    "queues": "/queues",
    "queue": "/queues/mail",
    "queue-paused": "/queues/reports",
    "queue-unserved": "/queues/webhooks",
    "crons": "/crons",
    "consumers": "/consumers",
    "404": "/nowhere",
  };
}
