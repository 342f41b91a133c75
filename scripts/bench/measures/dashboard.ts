import { dashboard } from "../../../dashboard.ts";
import { Firefly } from "../../../mod.ts";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";
import { quantilesOf } from "../statistics.ts";
import { fillTables } from "./million_tasks.ts";

/** Requests that do not count: the first ones compile code and plan statements. */
const WARM_UP = 3;

/** Measures each page of the dashboard over a database full of tasks, by calls of its handler in this process. */
export async function measureDashboard(stage: Stage): Promise<(Metrics & { page: string })[]> {
  await fillTables(stage.sql, stage.sizes.board);
  await using ff = new Firefly({ database: stage.url });
  const board = dashboard({ firefly: ff, open: true });
  try {
    const all: (Metrics & { page: string })[] = [];
    for (const [page, path] of Object.entries(await pathsOf(stage))) {
      all.push({ ...await measureRequests(stage, () => load(board.fetch, path)), page });
    }
    return all;
  } finally {
    board.close();
  }
}

/** Asks again and again, one request after another. */
export async function measureRequests(stage: Stage, get: () => Promise<unknown>): Promise<Metrics> {
  for (let i = 0; i < WARM_UP; i++) await get();
  return await stage.account([], async () => {
    const times: number[] = [];
    for (let i = 0; i < stage.sizes.pages; i++) {
      const start = performance.now();
      await get();
      times.push(performance.now() - start);
    }
    return { count: times.length, metrics: quantilesOf(times) };
  });
}

/** Asks for a page as a browser does, and reads it to its end. */
async function load(fetch: (request: Request) => Response | Promise<Response>, path: string): Promise<void> {
  const response = await fetch(new Request(`http://localhost${path}`));
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 500)}`);
}

/** The pages, by what they show. */
export async function pathsOf({ sql }: Stage): Promise<Record<string, string>> {
  const [ids] = await sql`
    SELECT (SELECT max(task_id) FROM firefly.failed_task) AS failed, (SELECT max(id) FROM firefly._claimed_task) AS running,
      (SELECT max(id) FROM firefly.waiting WHERE reason = 'rate') AS limited, (SELECT max(id) FROM firefly.task) AS due,
      (SELECT min(id) + 1000 FROM firefly.task) AS completed
  `;
  const tasks = (q: string) => `/tasks?q=${encodeURIComponent(q)}`;
  return {
    "Overview": "/",
    "Overview, a day": "/?range=day",
    "Overview, a week": "/?range=week",
    "Tasks, all": "/tasks",
    "Tasks, due": tasks("place:due"),
    "Tasks, waiting": tasks("status:created place:time"),
    "Tasks, running": tasks("status:running"),
    "Tasks, failed": tasks("status:failed"),
    "Tasks, failed of a name": tasks("status:failed name:app.task_5"),
    "Tasks, failed with an error": tasks("status:failed error:HttpError"),
    "Tasks, completed": tasks("status:completed"),
    "Tasks, cancelled in a queue": tasks("status:cancelled queue:mail"),
    "Tasks, of a name that has none": tasks("name:nowhere"),
    "Tasks, by arguments that none has": tasks("args:user-nobody"),
    "Tasks, between two times": tasks("from:3d to:2d status:failed"),
    "Task, failed": `/tasks/${ids!.failed}`,
    "Task, running": `/tasks/${ids!.running}`,
    "Task, waiting for a limit": `/tasks/${ids!.limited}`,
    "Task, due": `/tasks/${ids!.due}`,
    "Task, completed": `/tasks/${ids!.completed}`,
    "Question: retry what failed": `/tasks/retry?q=${encodeURIComponent("status:failed")}`,
    "Question: cancel what waits": `/tasks/cancel?q=${encodeURIComponent("status:created queue:mail")}`,
    "Schedule": "/new",
    "Queues": "/queues",
    "Queue": "/queues/mail",
    "Crons": "/crons",
    "Consumers": "/consumers",
    "Counts for machines": "/counts.json",
  };
}
