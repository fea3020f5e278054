import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { refuseSwap } from "./swap.ts";

test("a machine that swaps is refused by name, others are not", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kubits-swap-"));
  const file = join(folder, "swaps");
  const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  try {
    await refuseSwap(file); // a kernel without swap
    await writeFile(file, heading);
    await refuseSwap(file);
    await writeFile(file, `${heading}/swapfile                               file\t\t2097148\t\t0\t\t-2\n`);
    await assert.rejects(refuseSwap(file), /^Error: running with swap on is not supported, .*\/swapfile/su);
  } finally {
    await rm(folder, { recursive: true });
  }
});
