import type { Params, Route } from "./context.ts";
import { bulk } from "./pages/bulk.ts";
import { consumers } from "./pages/consumers.ts";
import { counts } from "./pages/counts.ts";
import { crons } from "./pages/crons.ts";
import { fork } from "./pages/fork.ts";
import { graph } from "./pages/graph.ts";
import { newTask } from "./pages/new.ts";
import { overview } from "./pages/overview.ts";
import { questions } from "./pages/question.ts";
import { queue } from "./pages/queue.ts";
import { queues } from "./pages/queues.ts";
import { signal } from "./pages/signal.ts";
import { step } from "./pages/step.ts";
import { task } from "./pages/task.ts";
import { tasks } from "./pages/tasks.ts";
import { waits } from "./pages/waits.ts";

/** All routes. The first that matches is taken, so `/tasks/retry` stands before `/tasks/:id`. */
export const ROUTES: readonly Route[] = [
  ...overview,
  ...tasks,
  ...questions,
  ...bulk,
  ...task,
  ...step,
  ...fork,
  ...signal,
  ...graph,
  ...newTask,
  ...queues,
  ...queue,
  ...crons,
  ...consumers,
  ...waits,
  ...counts,
];

/** What a method and a path lead to: a route, the methods that the path has, or nothing. */
export type Match =
  | { readonly route: Route; readonly params: Params }
  | { readonly allow: readonly string[] }
  | undefined;

/** Finds the route for a method and a path from the base. */
export function findRoute(method: string, path: string, routes: readonly Route[] = ROUTES): Match {
  const parts = decode(path);
  if (parts === undefined) return undefined;
  const allow = new Set<string>();
  for (const route of routes) {
    const params = paramsOf(route.path.split("/"), parts);
    if (params === undefined) continue;
    if (route.method === (method === "HEAD" ? "GET" : method)) return { route, params };
    allow.add(route.method);
    if (route.method === "GET") allow.add("HEAD");
  }
  return allow.size > 0 ? { allow: [...allow] } : undefined;
}

/** The decoded parts of a path; undefined if one cannot be decoded. */
function decode(path: string): string[] | undefined {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function paramsOf(pattern: readonly string[], parts: readonly string[]): Params | undefined {
  if (pattern.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, name] of pattern.entries()) {
    const part = parts[index]!;
    if (name.startsWith(":") && part !== "") params[name.slice(1)] = part;
    else if (name !== part) return undefined;
  }
  return params;
}
