import type { Compared, Section } from "../sections.ts";

const RATE: Compared = { metric: "rate", title: "workflows/s" };

/** What a part of a workflow costs. */
function costsOf(part: string): readonly Compared[] {
  return [
    { metric: "statements", title: `statements/${part}` },
    { metric: "syncs", title: `syncs/${part}` },
    { metric: "wal", title: `WAL B/${part}` },
    { metric: "serverCpu", title: `server CPU µs/${part}` },
    { metric: "clientCpu", title: `client CPU µs/${part}` },
  ];
}

const HOLDINGS: readonly Compared[] = [
  { metric: "sessions", title: "sessions" },
  { metric: "timers", title: "timers" },
  { metric: "heap", title: "heap MB" },
];

function ofSteps(at: 1 | 20 | 100): Section {
  return {
    scenario: `steps_${at}`,
    title: `Ten steps, ${at} at a time`,
    about: ({ workflows: { steps } }) =>
      `${(at === 1 ? steps / 5 : steps).toLocaleString("en")} workflows of ten steps that do nothing but return a ` +
      `number, one after another. One process begins and runs them, ${at} at a time, from the first call to the last end.`,
    compared: [RATE],
    others: costsOf("step"),
  };
}

function ofInserts(at: 1 | 20 | 100): Section {
  return {
    scenario: `inserts_${at}`,
    title: `Ten steps with an INSERT each, ${at} at a time`,
    about: () =>
      "The same, and each step inserts a row, exactly once: in the transaction that stores the step's result. Absurd has " +
      "no such transaction.",
    compared: [RATE],
    others: costsOf("step"),
  };
}

function ofChains(at: 1 | 20): Section {
  return {
    scenario: `chain_${at}`,
    title: `Chains of ten, ${at} at a time`,
    about: ({ workflows: { chains } }) =>
      `${at === 1 ? chains / 5 : chains} chains of ten tasks, each of which begins when the one before has ended; ${
        at === 1 ? "one chain after another" : `${at} chains at a time`
      }. A process begins and runs them.`,
    compared: [{ metric: "rate", title: "chains/s" }],
    others: [...costsOf("link"), { metric: "release", title: "release µs/link" }],
  };
}

/** All tables of the page of workflows. */
export const WORKFLOW_SECTIONS: readonly Section[] = [
  ofSteps(1),
  ofSteps(20),
  ofSteps(100),
  ofInserts(1),
  ofInserts(20),
  ofInserts(100),
  {
    scenario: "fan_in",
    title: "Fan-out and fan-in",
    about: ({ workflows: { width, fans } }) =>
      `One workflow begins ${width.toLocaleString("en")} tasks that return a number, and goes on with all of their ` +
      `results; ${fans} after each other, by one process, 100 tasks at a time. pg-boss hands on no results. Release is ` +
      "the time of the statement that tells a dependant that a dependency has ended.",
    compared: [{ metric: "rate", title: "tasks/s" }],
    others: [...costsOf("task"), { metric: "release", title: "release µs/task" }],
  },
  ofChains(1),
  ofChains(20),
  {
    scenario: "sleep_1s",
    title: "A sleep of a second",
    about: ({ workflows: { sleeps } }) =>
      `${sleeps} workflows do a step, sleep for a second, and do another step, with 20 slots. DBOS has no slots here: all ` +
      "sleep in the process at once.",
    compared: [RATE],
    others: costsOf("workflow"),
  },
  {
    scenario: "asleep",
    title: "What sleepers hold",
    about: ({ workflows: { asleep } }) =>
      `${
        asleep.toLocaleString("en")
      } workflows sleep for an hour: what the process holds, more than with a few of them. ` +
      "The heap is read after a collection.",
    compared: [],
    others: HOLDINGS,
  },
  {
    scenario: "sleepers",
    title: "Many sleepers",
    about: ({ workflows: { sleepers } }) =>
      `The same with ${sleepers.toLocaleString("en")}, which then are due at once: how many a second go on and end. ` +
      "Measured in the first round alone.",
    compared: [RATE],
    others: [...HOLDINGS, ...costsOf("workflow").filter(({ metric }) => metric !== "syncs")],
  },
  {
    scenario: "signal",
    title: "From signal to handler",
    about: ({ workflows: { signals } }) =>
      `From the call that sends a signal in one process to the code behind the wait in another: ${signals} signals, one ` +
      "at a time, with pauses of 3 to 10 ms. A ratio below 1 is better.",
    compared: [{ metric: "p50", title: "p50 ms" }, { metric: "p99", title: "p99 ms" }],
    others: costsOf("signal").filter(({ metric }) => metric !== "syncs"),
  },
];
