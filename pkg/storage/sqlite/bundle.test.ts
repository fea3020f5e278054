import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { build } from "esbuild";
import { text } from "../contract-suite.ts";

it("finds its thread when it has been bundled", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-bundle-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const here = (file: string) => new URL(file, import.meta.url).pathname;
  await build({
    entryPoints: { main: here("./sqlite-store.ts"), "sqlite-worker": here("./worker.ts") },
    outdir: directory,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  const bundled = (await import(join(directory, "main.js"))) as typeof import("./sqlite-store.ts");
  const store = await bundled.openSqliteStore({ path: join(directory, "store.db") });
  await store.write({ key: "/a", value: Buffer.from("1") });
  assert.equal(text((await store.get("/a")).kv?.value), "1");
  await store.close();
});
