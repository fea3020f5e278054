import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { usualResolvConf } from "./resolv-conf.ts";

test("name servers are those behind systemd-resolved where it alone answers", () => {
  const root = mkdtempSync(join(tmpdir(), "resolv-"));
  const put = (path: string, text: string) => writeFileSync(join(root, path), text);
  mkdirSync(join(root, "etc"));
  mkdirSync(join(root, "run/systemd/resolve"), { recursive: true });
  assert.equal(usualResolvConf(root), "/etc/resolv.conf", "neither file is there");
  put("etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
  assert.equal(usualResolvConf(root), "/etc/resolv.conf");
  put("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n");
  assert.equal(usualResolvConf(root), "/run/systemd/resolve/resolv.conf");
  put("etc/resolv.conf", "nameserver 192.0.2.1\nnameserver 127.0.0.53\n");
  assert.equal(usualResolvConf(root), "/etc/resolv.conf", "somebody named a server of the network");
  put("etc/resolv.conf", "search example.com\n");
  assert.equal(usualResolvConf(root), "/etc/resolv.conf");
  rmSync(root, { recursive: true });
});
