import { assertEquals } from "@std/assert";
import { Emitter } from "../src/events.ts";

const detail = { consumerId: "c1" };

Deno.test("Emitter.emit() tells every listener of the event, in order, and no other", () => {
  const events = new Emitter();
  const heard: string[] = [];
  events.on("consumer.expired", ({ consumerId }) => heard.push(`first ${consumerId}`));
  events.on("consumer.expired", () => heard.push("second"));
  events.on("listener.lost", () => heard.push("other"));

  events.emit("consumer.expired", detail);

  assertEquals(heard, ["first c1", "second"]);
});

Deno.test("Emitter.emit() goes on to the next listener when one throws", () => {
  const events = new Emitter();
  let heard = 0;
  events.on("consumer.expired", () => {
    throw new Error("a listener's own mistake");
  });
  events.on("consumer.expired", () => heard++);

  events.emit("consumer.expired", detail);

  assertEquals(heard, 1);
});

Deno.test("Emitter.on() returns what takes the listener away", () => {
  const events = new Emitter();
  let heard = 0;
  const off = events.on("consumer.expired", () => heard++);
  events.emit("consumer.expired", detail);

  off();
  off();
  events.emit("consumer.expired", detail);

  assertEquals(heard, 1);
});

Deno.test("Emitter.emit() is not disturbed by a listener that takes itself away", () => {
  const events = new Emitter();
  const heard: string[] = [];
  const off = events.on("consumer.expired", () => {
    heard.push("once");
    off();
  });
  events.on("consumer.expired", () => heard.push("always"));

  events.emit("consumer.expired", detail);
  events.emit("consumer.expired", detail);

  assertEquals(heard, ["once", "always", "always"]);
});

Deno.test("Emitter.emit() drops what an asynchronous listener rejects with", async () => {
  const emitter = new Emitter();
  const rejections: unknown[] = [];
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    rejections.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  emitter.on("consumer.expired", () => Promise.reject(new Error("no")));

  emitter.emit("consumer.expired", { consumerId: "" });
  await new Promise((resolve) => setTimeout(resolve, 0));

  globalThis.removeEventListener("unhandledrejection", onRejection);
  assertEquals(rejections, []);
});
