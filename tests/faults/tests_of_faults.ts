import { type Fault, Figures, isLeftOut } from "./fault.ts";

/** Other tests run at the same time, on the same cores. */
const SLACK = 3;
/** How often a control is tried: it takes a moment that a busy machine may miss, and once is enough to say. */
const CONTROL_TRIES = 3;

/** A test of each fault, and of its control. */
export async function testsOfFaults(faults: readonly Fault[]): Promise<Deno.TestDefinition[]> {
  const tests: Deno.TestDefinition[] = [];
  for (const fault of faults) {
    if (fault.testedBy) continue;
    const ignore = await isLeftOut(`Fault ${fault.number}`, fault);
    tests.push({
      name: `fault ${fault.number}: ${fault.title}`,
      ignore,
      fn: () => check((figures) => fault.run(figures, "short")),
    });
    const { control } = fault;
    if (!control) continue;
    const name = `fault ${fault.number} does harm without its protection`;
    tests.push({ name, ignore, fn: () => checkControl((figures) => control.call(fault, figures, "short")) });
  }
  return tests;
}

async function checkControl(run: (figures: Figures) => Promise<void>): Promise<void> {
  for (let tries = 1;; tries++) {
    try {
      return await check(run);
    } catch (error) {
      if (tries === CONTROL_TRIES) throw error;
    }
  }
}

async function check(run: (figures: Figures) => Promise<void>): Promise<void> {
  const figures = new Figures({ slack: SLACK, speed: false });
  await run(figures);
  const broken = figures.list.filter(({ pass }) => !pass);
  if (broken.length === 0) return;
  throw new Error(broken.map(({ name, value, bound }) => `${name}: ${value}, must be ${bound}`).join("\n"));
}
