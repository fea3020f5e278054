import { spawn } from "node:child_process";
import { execPath } from "node:process";
import type { Duplex, Writable } from "node:stream";

/** Joins standard input and output to a port of its own loopback; run by our own Node.js, so that nothing need be installed. */
const CONNECT_SCRIPT = `
const socket = require("node:net").connect({ port: Number(process.argv[1]), host: "localhost", allowHalfOpen: true });
socket.on("error", (error) => { console.error(error.message || String(error)); process.exit(1); });
process.stdin.pipe(socket).pipe(process.stdout);
`;

/**
 * Carries one connection to a port of the pod whose network namespace process `pid` is in: only from inside is what listens on
 * its loopback reached. Resolves when the connection has ended; what went wrong is written to `error`.
 */
export async function forwardPort(pid: number, port: number, data: Duplex, error: Writable): Promise<void> {
  const enter = ["--target", String(pid), "--net"];
  const child = spawn("nsenter", [...enter, execPath, "--eval", CONNECT_SCRIPT, String(port)], { stdio: "pipe" });
  data.pipe(child.stdin);
  child.stdout.pipe(data);
  child.stderr.pipe(error);
  child.stdin.on("error", () => undefined); // the forwarder has gone, and its exit says so
  data.on("close", () => child.kill("SIGTERM"));
  await new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve());
  });
}
