/** What a handler may throw, by what it is. @module */
import { HOSTILE_VALUES } from "../../values/thrown.ts";

class OrderError extends RangeError {
  override name = "OrderError";
  code = "E_ORDER";
}

/** An error as applications throw it. */
export const ORDER_ERROR = "an error of a class, with causes";

/** The values, each made anew. */
export const THROWN: Readonly<Record<string, () => unknown>> = {
  [ORDER_ERROR]: () => new OrderError("no order 7", { cause: new TypeError("no rows", { cause: "closed" }) }),
  "an AggregateError": () => new AggregateError([new Error("a"), 2], "both"),
  "a DOMException": () => new DOMException("too late", "TimeoutError"),
  "text": () => "just text",
  ...HOSTILE_VALUES,
};
