import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { UsageError } from "#pkg/config/index.ts";
import type { PluginHandle } from "#pkg/scheduler/index.ts";
import { fileAsFlags, loadPlugins, readSchedulerSettings } from "./scheduler-config.ts";

const dir = mkdtempSync(join(tmpdir(), "kubits-scheduler-config-"));
after(() => rmSync(dir, { recursive: true }));
const write = (name: string, text: string) => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

const plugins = write(
  "plugins.mjs",
  `export const even = { name: "Even", score: () => 1 };
   export const picky = { name: "Picky", make: (handle, args) => ({ name: "Picky", score: () => args.score }) };
   export const helper = () => 1;`,
);
const config = write(
  "scheduler.yaml",
  `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: { kubeconfig: /etc/kubernetes/scheduler.conf }
leaderElection: { leaderElect: false }
profiles:
- schedulerName: default-scheduler
- schedulerName: mine
  plugins: { score: { disabled: [{ name: "*" }], enabled: [{ name: Picky, weight: 3 }] } }
`,
);

describe("scheduler configuration of kubits-master", () => {
  it("names profiles and plugins from outside", async () => {
    const settings = await readSchedulerSettings(config, [plugins]);
    assert.deepEqual(settings.pluginModules, [plugins]);
    assert.equal((settings.configuration as { kind: string }).kind, "KubeSchedulerConfiguration");
    const loaded = await loadPlugins([plugins]);
    assert.deepEqual([...loaded.keys()], ["Even", "Picky"]);
    const made = loaded.get("Picky")!({} as PluginHandle, { score: 7 });
    assert.equal(made.score?.(undefined, undefined as never, undefined as never), 7);
  });
  it("is refused before anything starts", async () => {
    const refused = (message: RegExp) => (error: unknown) => error instanceof UsageError && message.test(error.message);
    await assert.rejects(readSchedulerSettings(config, []), refused(/profile mine: there is no plugin named Picky/));
    await assert.rejects(
      readSchedulerSettings("", [join(dir, "absent.mjs")]),
      refused(/--scheduler-plugins: .*absent/),
    );
    const empty = write("empty.mjs", "export const nothing = 1;");
    await assert.rejects(readSchedulerSettings("", [empty]), refused(/exports no object with a name/));
  });
  it("may be the file that --config names, as with kube-scheduler", () => {
    const file = {
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
      leaderElection: { leaderElect: false },
      clientConnection: { kubeconfig: "/etc/kubernetes/scheduler.conf" },
    };
    assert.deepEqual(fileAsFlags(file, assert.fail, config), {
      "scheduler-config": config,
      "leader-elect": false,
      kubeconfig: "/etc/kubernetes/scheduler.conf",
    });
    assert.deepEqual(fileAsFlags({ "leader-elect": false }, assert.fail, "x"), { "leader-elect": false });
    assert.throws(() => fileAsFlags({ kind: "Pod", apiVersion: "v1" }, assert.fail, "x"), /is a Pod of v1/);
  });
});
