import { task } from "@firefly/tasks";
import { fromPrisma } from "@firefly/tasks/adapters";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./client/client.ts";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const adapter = new PrismaPg({ connectionString: process.env.FIREFLY_DATABASE_URL });
const prisma = new PrismaClient({ adapter });

await prisma.$transaction(async (tx) => {
  await tx.users.create({ data: { mail: "ada@example.org" } });
  await welcome.with({ tx: fromPrisma(tx) }).schedule("ada@example.org");
});
await prisma.$disconnect();
