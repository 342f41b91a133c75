import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { type Running, testProject } from "../support/project.ts";
import { deadline } from "../support/waiting.ts";

const PASSWORD = "FIREFLY_DASHBOARD_PASSWORD";

/** The address that the command prints. */
async function urlOf(running: Running): Promise<string> {
  return /http:\/\/\S+/.exec(await running.printed("http://"))![0].replace(/"}$/, "");
}

Deno.test("dashboard serves pages and events on loopback, and ends at SIGTERM with a stream open", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using running = project.start("dashboard", "--port", "0", "--table", "--title", "staging");
  const url = await urlOf(running);

  const page = await fetch(url);
  assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  assertEquals(page.status, 200);
  assertStringIncludes(await page.text(), "staging");
  const events = await fetch(`${url}pulse`);
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
  await deadline(
    (async () => {
      for (let text = ""; !text.includes("event: pulse");) text += (await reader.read()).value;
    })(),
    () => "no event came",
  );

  running.kill("SIGTERM");
  const { code, stderr } = await running.ended();

  assertEquals([code, stderr], [0, ""]);
  await deadline(reader.closed.catch(() => {}), () => "the stream goes on");
});

Deno.test("dashboard refuses other names of this machine, as a page of an attacker can have one that leads here", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using running = project.start("dashboard", "--port", "0", "--allow-host", "ops.example");
  const url = new URL(await urlOf(running));
  const statusAs = async (host: string, path: string): Promise<string> => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(url.port) });
    await connection.write(
      new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
    );
    const answer = new Uint8Array(100);
    const length = await connection.read(answer);
    return new TextDecoder().decode(answer.subarray(0, length ?? 0)).split(" ")[1]!;
  };

  for (const path of ["/", "/pulse", "/counts.json"]) {
    assertEquals(await statusAs("evil.example", path), "403", path);
  }
  assertEquals([await statusAs("ops.example", "/"), await statusAs("localhost", "/")], ["200", "200"]);
  running.kill("SIGINT");
  assertEquals((await running.ended()).code, 0);
});

Deno.test("dashboard asks for the password in the environment", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, env: { [PASSWORD]: "s3cret: ż" } });
  await using running = project.start("dashboard", "--port", "0", "--host", "0.0.0.0", "--user", "ops");
  const url = (await urlOf(running)).replace("0.0.0.0", "127.0.0.1");
  const ask = async (login?: string) => {
    const encoded = login && btoa(String.fromCharCode(...new TextEncoder().encode(login)));
    const response = await fetch(url, encoded ? { headers: { authorization: `Basic ${encoded}` } } : {});
    const text = await response.text();
    return [response.status, response.headers.get("www-authenticate")?.split(" ")[0], text.includes("ops")];
  };

  assertEquals(await ask(), [401, "Basic", false]);
  assertEquals(await ask("ops:wrong"), [401, "Basic", false]);
  assertEquals(await ask("ops"), [401, "Basic", false]);
  assertEquals(await ask("ops:s3cret: ż"), [200, undefined, true]);
  running.kill("SIGTERM");
  await running.ended();
});

Deno.test("dashboard refuses a public address without a password, and flags that do not fit", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const cases: [args: string[], message: RegExp][] = [
    [
      ["--host", "0.0.0.0"],
      /everyone who reaches 0\.0\.0\.0 could use it: set FIREFLY_DASHBOARD_PASSWORD, or pass --open/,
    ],
    [["--host", "::"], /everyone who reaches ::/],
    [["--user", "ops"], /"--user" needs a password/],
    [["--port", "70000"], /"--port" must be at most 65535/],
    [["--base-path", "firefly"], /"basePath" must be a path/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await project.run("dashboard", ...args);
    assertEquals(code, 2, stderr);
    assertMatch(stderr, message);
  }
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { code, stderr } = await project.run("dashboard", "--port", String(listener.addr.port));
  listener.close();
  assert(code === 2 && /it is in use: choose another --port/.test(stderr), stderr);
});
