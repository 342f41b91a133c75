import type { Removal } from "../support/without.ts";

/** Protections that more than one fault is survived by. */

/** Whoever ends a claim must find it as the claim read it. */
export const NO_FENCE: Removal = {
  file: "src/store/settle.ts",
  find: "ON outcome.id = task.id AND outcome.claim_seq = task.claim_seq\n      WHERE task.status = 'created'\n",
  replace: "ON outcome.id = task.id\n",
};

/** The same where an attempt's effects are committed. */
export const NO_FENCE_OF_EFFECTS: Removal = {
  file: "src/store/complete.ts",
  find: "WHERE id = ${id} AND claim_seq = ${claimSeq} AND status = 'created'\n",
  replace: "WHERE id = ${id}\n",
};

/** A step's result is stored by the transaction of its effects. */
export const NO_MEMO: Removal = {
  file: "src/settle/commit_step.ts",
  find: `await transaction.commit({
      run: (statements) => storeStep(statements, ended),
      isWaiting: async () => await readFreeClaim(sql, id) === "locked",
    });
`,
  replace: "await transaction.commit();\nawait storeStep(sql, ended);\n",
};

/** The server ends the transaction of a consumer that shows no life. */
export const NO_TIMEOUT: Removal = {
  file: "src/database/attempt_transaction.ts",
  find: "setup: `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)};`",
  replace: 'setup: ""',
};
