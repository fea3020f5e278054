import assert from "node:assert/strict";
import { test } from "node:test";
import { textLine } from "./logging.ts";

test("lines for people; the journal gets each one's priority", () => {
  const line = (level: string) =>
    JSON.stringify({ level, ts: 0, component: "kubits-node", pod: "a", msg: "Evicting a pod" });
  const text = '1970-01-01T00:00:00.000Z WARN kubits-node Evicting a pod pod="a"';
  assert.equal(textLine(line("warn"), false), text);
  assert.equal(textLine(line("warn"), true), `<4>${text}`);
  const priorities = ["debug", "info", "error", "other"].map((level) => textLine(line(level), true).slice(0, 3));
  assert.deepEqual(priorities, ["<7>", "<6>", "<3>", "<6>"]);
});
