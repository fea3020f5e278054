import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "#pkg/util/index.ts";
import { giveBackByLibrary, unchangedMappings } from "./give-back.ts";

test("memory can be given back with the C library of the machines that we run on, and the program goes on", () => {
  const giveBack = giveBackByLibrary(silentLogger);
  assert.ok(giveBack !== undefined);
  const resident = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  const before = resident();
  giveBack.freed();
  giveBack.code();
  assert.ok(resident() < before * 0.75, `${resident()} KiB of ${before} KiB are still resident`);
});

test("only what stands in files, and nowhere else, can be let go", () => {
  const mapping = (head: string, anonymous = 0, swap = 0) =>
    `${head}\nSize: 64 kB\nRss: 16 kB\nAnonymous: ${String(anonymous).padStart(8)} kB\nSwap: ${String(swap).padStart(8)} kB\nVmFlags: rd ex\n`;
  const smaps = [
    mapping("00400000-0082e000 r--p 00000000 fe:00 1234                     /opt/node"),
    mapping("0082e000-03489000 r-xp 0042e000 fe:00 1234                     /opt/a b/node"),
    mapping("072a7000-072dc000 r--p 06ea7000 fe:00 1234                     /opt/node", 212),
    mapping("072dc000-072dd000 r--p 06ea7000 fe:00 1234                     /opt/node", 0, 4),
    mapping("072dd000-07308000 rw-p 06edc000 fe:00 1234                     /opt/node"),
    mapping("7f0000000000-7f0000001000 r--s 00000000 fe:00 99                       /var/shared"),
    mapping("7f1000000000-7f1000001000 r--p 00000000 00:00 0"),
    mapping("7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]"),
  ].join("");
  assert.deepEqual(unchangedMappings(smaps), [
    { start: 0x400000n, length: 0x42e000n },
    { start: 0x82e000n, length: 0x2c5b000n },
  ]);
});
