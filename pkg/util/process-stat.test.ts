import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { it } from "node:test";
import { processStat } from "./process-stat.ts";

it("tells processes apart and what they have used, whatever their names", async () => {
  const own = processStat("self")!;
  assert.deepEqual(processStat(process.pid)!.startTime, own.startTime);
  assert.ok(own.cpuSeconds > 0);
  const child = spawn("cat", { argv0: "a ) b (", stdio: ["pipe", "ignore", "ignore"] });
  const stat = processStat(child.pid!)!;
  assert.match(stat.state, /^[A-Z]$/);
  assert.ok(Number(stat.startTime) >= Number(own.startTime), "it began after this process");
  child.stdin.end();
  await once(child, "exit");
  assert.equal(processStat(child.pid!), undefined);
});
