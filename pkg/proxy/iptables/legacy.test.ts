import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandRunner, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { ServiceTracker } from "../model/tracker.ts";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { IptablesProxier } from "./proxier.ts";

const runner = new SpawnRunner();
const { signal } = new AbortController();

test(
  "legacy iptables: rules with SCTP, and a wait while another process holds the tables",
  { timeout: 30_000 },
  async () => {
    const name = `kpl-${process.pid}`;
    const dir = mkdtempSync(join(tmpdir(), "kpl-"));
    const lock = join(dir, "xtables.lock");
    await runner.run("ip", ["netns", "add", name]);
    try {
      const inside: CommandRunner = {
        run: (file, args, options) =>
          runner.run("nsenter", [`--net=/run/netns/${name}`, file, ...args], {
            ...options,
            env: { PATH: process.env["PATH"] ?? "", XTABLES_LOCKFILE: lock },
          }),
      };
      const config = {
        clusterCIDR: "10.244.0.0/16",
        masqueradeAll: false,
        nodePortAddresses: [],
        localhostNodePorts: true,
        nodeIP: "",
      };
      const proxier = new IptablesProxier({
        family: "IPv4",
        config,
        runner: inside,
        log: silentLogger,
        command: "iptables-legacy",
      });
      const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
      tracker.setService(
        service("web", { clusterIP: "10.96.0.5", ports: [{ name: "sctp", protocol: "SCTP", port: 9000 }] }),
      );
      tracker.setSlice(slice("web", [ENDPOINTS.podA], { name: "sctp", protocol: "SCTP" }));
      tracker.takeChanges();
      const holder = spawn("flock", [lock, "sleep", "1.2"], { stdio: "ignore" });
      await new Promise((resolve) => setTimeout(resolve, 150));
      const started = performance.now();
      await proxier.sync(() => tracker.all(), undefined, signal);
      const waited = performance.now() - started;
      holder.kill();
      assert.ok(waited > 700, `waited only ${waited} ms for the lock`);
      assert.equal(await proxier.verify(signal), true);
      const saved = await inside.run("iptables-legacy-save", []);
      assert.match(saved.stdout, /-p sctp .*-m sctp -j DNAT --to-destination 10\.244\.0\.2:8080/);
      await proxier.cleanup(signal);
      assert.doesNotMatch((await inside.run("iptables-legacy-save", [])).stdout, /KUBE/);
    } finally {
      await runner.run("ip", ["netns", "del", name]);
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
