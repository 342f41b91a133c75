/** Checks that values come back as they were; without any API of one runtime. @module */
import { decode } from "../../src/wire/decode.ts";
import { encode } from "../../src/wire/encode.ts";
import { ROUND_TRIPS, roundTrip } from "./values/round_trips.ts";
import { difference } from "./values/same.ts";

/** What does not come back as it should on this runtime. */
export async function checkRoundTrips(): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, make] of Object.entries(ROUND_TRIPS)) {
    try {
      const { from, to } = roundTrip(make);
      const found = difference(decode(await encode(from)), to);
      if (found !== undefined) wrong.push(`${name}: ${found}`);
    } catch (error) {
      wrong.push(`${name}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  return wrong;
}
