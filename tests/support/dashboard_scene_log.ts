import type { TestDatabase } from "./database.ts";

/** Keeps log lines of two tasks: of one that runs, and of one that failed, with every level and a text of an attacker. */
export async function insertSceneLog(
  db: TestDatabase,
  { running, failed, hostile }: { running: number; failed: number; hostile: string },
): Promise<void> {
  const insert = async (task: number, ago: number, [attempt, level, message, fields]: Line) => {
    await db.sql`
      INSERT INTO firefly.task_log (task_id, attempt, at, level, message, fields)
      VALUES (${task}, ${attempt}, now() - make_interval(secs => ${ago}), ${level}, ${message}, ${
      fields ? db.sql.json(fields as never) : null
    })
    `;
  };
  for (let frame = 0; frame < 120; frame++) {
    await insert(running, 730 - frame * 6, [1, "debug", "encoded a part", { frame: frame * 192, fps: 31.4 }]);
  }
  await insert(running, 8, [1, "warn", "the disk is slow", { waited: "2.1 s" }]);
  for (const attempt of [1, 2, 3, 4]) {
    const ago = 620 - attempt * 120;
    await insert(failed, ago, [attempt, "info", "connects to the relay", { host: "smtp-3.shop.example", port: 587 }]);
    await insert(failed, ago - 1, [attempt, "warn", "421 4.7.0 too many connections", undefined]);
  }
  await insert(failed, 130, [4, "error", `gives up\n${hostile}`, {
    token: "s3cret",
    [`last ${hostile.slice(0, 40)}`]: hostile,
  }]);
}

type Line = [attempt: number, level: string, message: string, fields: object | undefined];
