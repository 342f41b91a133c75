import { assertEquals, assertMatch } from "@std/assert";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

Deno.test("tasks prints the options of definitions, and the configuration's defaults", async () => {
  const tasks = `
    import { task } from ${JSON.stringify(PACKAGE)};
    task("plain", () => {});
    task({ name: "rich", aliases: ["poor"], queue: "mail", maxRetries: 3, retryDelay: "5m", priority: 2, timeout: 9 }, () => {});
    task({ name: "grows", retryDelay: { kind: "exponential", delay: 1 } }, () => {});
    task({ name: "computes", retryDelay: (attempt: number) => attempt }, () => {});
  `;
  const config = `export default { defaults: { queue: "slow", maxRetries: 1, timeout: "1m" } };`;
  await using project = await testProject({ files: { "tasks.ts": tasks, "firefly.config.ts": config } });

  const { code, stdout } = await project.run("tasks");

  const found = Object.fromEntries(
    jsonLines(stdout).map(({ func_name, site, ...rest }) => {
      assertMatch(site, /tasks\.ts:\d+:\d+$/);
      return [func_name, rest];
    }),
  );
  const defaults = { aliases: [], queue: "slow", priority: 0, max_retries: 1, timeout: 60 };
  assertEquals([code, found], [0, {
    computes: { ...defaults, retry_delay: { kind: "function" } },
    grows: { ...defaults, retry_delay: { kind: "exponential", delay: 1 } },
    plain: { ...defaults, retry_delay: 120 },
    rich: { aliases: ["poor"], queue: "mail", priority: 2, max_retries: 3, retry_delay: 300, timeout: 9 },
  }]);
});
