// The handlers of the example for Fresh, whose context they get: fresh.ts runs them in Fresh itself, where that can be had.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { check } from "../check.ts";
import { EXAMPLES, within } from "./support/server.ts";

const load = async (path: string) => await import(pathToFileURL(EXAMPLES + path).href);
const { getSum, postSum } = await load("fresh/handlers.ts");
const { failureOf } = await load("answers.ts");
const { firefly, startConsumer } = await load("firefly.ts");

const post = (body: string): Promise<Response> =>
  postSum({ req: new Request("http://localhost/sums", { method: "POST", body }), params: {} });
const get = (id: string): Promise<Response> =>
  getSum({ req: new Request(`http://localhost/sums/${id}`), params: { id } });

/** The status of the response to a request that fails. */
async function statusOf(response: Promise<Response>): Promise<number> {
  return await response.then(({ status }) => assert.fail(`it is ${status}`), (error) => failureOf(error).status);
}

await check("they schedule with 202 and a Location, and have the result with 200", async () => {
  startConsumer();
  const scheduled = await post('{"i":1,"j":2,"seconds":0.3}');
  const { id } = await scheduled.json();
  assert.deepEqual([scheduled.status, scheduled.headers.get("location")], [202, `/sums/${id}`]);
  assert.equal((await get(String(id))).status, 202);
  const ended = async (): Promise<Response> => {
    for (;; await sleep(20)) {
      const response = await get(String(id));
      if (response.status !== 202) return response;
    }
  };
  const result = await within(ended(), () => "it stays without a result");
  assert.deepEqual([result.status, await result.json()], [200, { id, status: "completed", returned: 3 }]);
});

await check("an unknown id is 404; an id or a body that is wrong is 422", async () => {
  assert.equal(await statusOf(get("1000000000")), 404);
  assert.equal(await statusOf(get("abc")), 422);
  for (const body of ["", "{", "null", "{}", '{"i":"1","j":2}']) assert.equal(await statusOf(post(body)), 422, body);
});

await firefly.close();
