import { assertEquals } from "@std/assert";
import { transactionControlOf } from "../../src/database/transaction_control.ts";

const controls: [text: string, control: string | undefined][] = [
  ["COMMIT", "COMMIT"],
  ["commit work", "COMMIT"],
  ["  \n\tRollback", "ROLLBACK"],
  ["-- why\nEND", "END"],
  ["--\nABORT", "ABORT"],
  ["/* a */ -- b\n /* c */ BEGIN", "BEGIN"],
  ["/* /* nested */ COMMIT */ COMMIT", "COMMIT"],
  ["/*/*/ x */*/COMMIT", "COMMIT"],
  [";; ; COMMIT;", "COMMIT"],
  ["START   TRANSACTION READ ONLY", "START   TRANSACTION"],
  ["prepare transaction 'x'", "PREPARE TRANSACTION"],
  ["ROLLBACK TO SAVEPOINT a", undefined],
  ["rollback to a", undefined],
  ["ROLLBACK WORK TO a", undefined],
  ["ROLLBACK TRANSACTION TO SAVEPOINT a", undefined],
  ["SAVEPOINT a", undefined],
  ["RELEASE a", undefined],
  ["PREPARE plan AS SELECT 1", undefined],
  ["SELECT 'COMMIT'", undefined],
  ["/* /* nested */ COMMIT */ SELECT 1", undefined],
  ["/* COMMIT", undefined],
  ["INSERT INTO commit VALUES (1)", undefined],
  ["", undefined],
];

for (const [text, control] of controls) {
  Deno.test(`transactionControlOf() finds ${control} in ${JSON.stringify(text)}`, () => {
    assertEquals(transactionControlOf(text), control);
  });
}
