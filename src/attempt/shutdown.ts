import { FireflyError } from "../errors.ts";

/** Ends an attempt from outside without counting it: its task goes back to its queue. */
export class Shutdown extends FireflyError {
  override name = "Shutdown";
}
