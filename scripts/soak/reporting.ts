// Imported into the soak's consumers: writes down now and then what only the process itself knows.
import { renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setInterval } from "node:timers";
import { ownReport } from "./own_report.ts";

const { FIREFLY_SOAK_REPORT: file, FIREFLY_SOAK_INTERVAL: interval } = process.env;

if (file) {
  setInterval(() => {
    writeFileSync(`${file}.new`, JSON.stringify(ownReport()));
    renameSync(`${file}.new`, file); // whoever reads it finds all of it
  }, Number(interval)).unref();
}
