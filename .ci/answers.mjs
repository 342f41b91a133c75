// Exits with 0 if a PostgreSQL at the host and port of the arguments lets its user "postgres" in without a password.
import { connect } from "node:net";
import process from "node:process";

const TIMEOUT = 2000;
const [AUTHENTICATION, OK] = ["R".charCodeAt(0), 0];

/** The first message of the protocol: its length, its version 3.0, and who wants to open which database. */
function startupMessage() {
  const parameters = Buffer.from("user\0postgres\0database\0postgres\0\0", "latin1");
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + parameters.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, parameters]);
}

const [host, port] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) }, () => socket.write(startupMessage()));
socket.setTimeout(TIMEOUT, () => process.exit(1));
socket.on("error", () => process.exit(1));
socket.on("close", () => process.exit(1));
// The answer: a type, a length, and of an authentication what it asks for.
socket.once("data", (data) => process.exit(data[0] === AUTHENTICATION && data.readInt32BE(5) === OK ? 0 : 1));
