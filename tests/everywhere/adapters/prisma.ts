// Within: 120 s
import { fromPrisma } from "@firefly/tasks/adapters";
import { PrismaPg } from "@prisma/adapter-pg";
import type { Prisma } from "./examples/client/client.ts";
import { generatePrisma } from "./support/generate_prisma.ts";
import { checkLibrary, type Open, url } from "./support/suite.ts";

await generatePrisma();
const { PrismaClient } = await import("./examples/client/client.ts");
const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString: url }),
});

function openOn(tx: Prisma.TransactionClient): Open {
  return {
    tx: fromPrisma(tx),
    insert: (mail) => tx.users.create({ data: { mail } }),
    savepoint: (body) => tx.$transaction((tx) => body({ tx: fromPrisma(tx) })),
  };
}

await checkLibrary({
  packages: ["prisma", "@prisma/adapter-pg"],
  example: "prisma",
  transaction: (body) => prisma.$transaction((tx) => body(openOn(tx))),
  misuses: {
    "the PrismaClient": [
      () => fromPrisma(prisma as never),
      /fromPrisma\(\) as it was given a PrismaClient and not a transaction: pass the tx of prisma.\$transaction\(/,
    ],
    "the PrismaClient itself": [() => prisma as never, /looks like Prisma: pass fromPrisma\(tx\) of/],
  },
  close: () => prisma.$disconnect(),
});
