import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandRunner, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { ServiceTracker } from "../model/tracker.ts";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { IptablesProxier } from "./proxier.ts";

const runner = new SpawnRunner();
const { signal } = new AbortController();

test(
  "legacy iptables: rules with SCTP, and a wait while another process holds the tables",
  { timeout: 120_000 },
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
      const trace = join(dir, "holder");
      const hold = `echo held >> ${trace}; sleep 1; echo released >> ${trace}`;
      const holder = spawn("flock", [lock, "sh", "-c", hold], { stdio: "ignore" });
      const gone = once(holder, "exit");
      await until("somebody else has the lock", () => existsSync(trace));
      await proxier.sync(() => tracker.all(), undefined, signal);
      assert.equal(readFileSync(trace, "utf8"), "held\nreleased\n", "rules were written in spite of the lock");
      await gone;
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
