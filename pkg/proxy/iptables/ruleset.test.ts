import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ServiceTracker } from "../model/tracker.ts";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { JUMPS, parseSave } from "./jumps.ts";
import { needsRouteLocalnet, nodePortJumps } from "./render.ts";
import { IptablesRuleset } from "./ruleset.ts";

const config = {
  clusterCIDR: "10.244.0.0/16",
  masqueradeAll: false,
  nodePortAddresses: [],
  localhostNodePorts: true,
  nodeIP: "172.31.1.1",
};
const nothing = parseSave("", JUMPS);

/** Chains as a kernel would hold them: applies transactions and refuses what a kernel refuses. */
class Tables {
  readonly chains = new Map<string, string[]>();

  apply(texts: readonly string[]): void {
    for (const text of texts) for (const table of text.split("*").slice(1)) this.#table(table.split("\n"));
  }

  #table([table = "", ...lines]: string[]): void {
    for (const line of lines) {
      const [command = "", chain = ""] = line.split(" ");
      const key = `${table} ${command.startsWith(":") ? command.slice(1) : chain}`;
      const rule = line.slice(command.length + chain.length + 2);
      if (command.startsWith(":")) this.chains.set(key, []);
      else if (command === "-A") this.#of(key).push(rule);
      else if (command === "-I" && this.chains.has(key)) this.#of(key).unshift(rule);
      else if (command === "-D") {
        const at = this.#of(key).indexOf(rule);
        assert.ok(at >= 0, `${line}: no such rule`);
        this.#of(key).splice(at, 1);
      } else if (command === "-X") {
        assert.deepEqual(this.#of(key), []);
        for (const [other, rules] of this.chains)
          assert.ok(
            !other.startsWith(table) || !rules.some((known) => known.endsWith(`-j ${chain}`)),
            `${line}: in use by ${other}`,
          );
        this.chains.delete(key);
      }
      if (command === "-A" || command === "-I") this.#target(table, rule);
    }
  }

  #target(table: string, rule: string): void {
    const target = /-j (KUBE-\S+)$/.exec(rule)?.[1];
    if (target !== undefined)
      assert.ok(this.chains.has(`${table} ${target}`), `a jump to ${target}, which is not there`);
  }

  #of(key: string): string[] {
    const rules = this.chains.get(key);
    assert.ok(rules !== undefined, `${key} is not there`);
    return rules;
  }

  /** The same, whatever the order of rules in shared chains; only the jump to node ports has a fixed place. */
  get normal(): Array<[string, string[]]> {
    return [...this.chains]
      .map(([key, rules]): [string, string[]] => [key, / KUBE-S(VC|VL|EP)-/.test(key) ? rules : rules.toSorted()])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

const endpoints = fc.subarray(Object.values(ENDPOINTS));
const change = fc.record({
  service: fc.integer({ min: 0, max: 4 }),
  kind: fc.constantFrom("ClusterIP", "NodePort", "Local", "Affinity", "LoadBalancer", "gone"),
  endpoints,
});
const KINDS: Record<string, object> = {
  ClusterIP: {},
  NodePort: { type: "NodePort" },
  Local: { type: "NodePort", externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" },
  Affinity: { sessionAffinity: "ClientIP" },
  LoadBalancer: { type: "LoadBalancer", loadBalancerSourceRanges: ["192.0.2.0/24"] },
};

test("any sequence of changes leads to the same rules as writing everything anew", () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 8 }), (batches) => {
      const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
      // Enough others that shared chains are changed rule by rule and not rewritten.
      for (let index = 0; index < 20; index++)
        tracker.setService(
          service(`idle-${index}`, {
            type: "NodePort",
            clusterIP: `10.96.1.${index}`,
            ports: [{ port: 80, nodePort: 31_000 + index }],
          }),
        );
      tracker.takeChanges();
      const tables = new Tables();
      const ruleset = new IptablesRuleset({ family: "IPv4", config });
      tables.apply(ruleset.rebuild(tracker.all(), nothing, []));
      for (const batch of batches) {
        for (const { service: index, kind, endpoints: chosen } of batch) {
          const name = `web-${index}`;
          if (kind === "gone") tracker.deleteService({ namespace: "default", name });
          else {
            const ports = [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_000 + index }];
            tracker.setService(
              service(
                name,
                {
                  clusterIP: `10.96.0.${index}`,
                  ports: kind === "ClusterIP" || kind === "Affinity" ? [{ ...ports[0]!, nodePort: 0 }] : ports,
                  ...KINDS[kind],
                },
                kind === "LoadBalancer" ? [`203.0.113.${index}`] : [],
              ),
            );
          }
          tracker.setSlice(slice(name, chosen));
        }
        tables.apply(ruleset.update(tracker.takeChanges()));
      }
      const anew = new Tables();
      const fresh = new IptablesRuleset({ family: "IPv4", config });
      anew.apply(fresh.rebuild(tracker.all(), nothing, []));
      assert.deepEqual(tables.normal, anew.normal);
      assert.match(tables.chains.get("nat KUBE-SERVICES")!.at(-1)!, /-j KUBE-NODEPORTS$/);
      assert.equal(ruleset.ruleCount, fresh.ruleCount);
    }),
    { numRuns: 60 },
  );
});

test("a change costs its own size, however many services there are", () => {
  const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
  for (let index = 0; index < 2000; index++) {
    tracker.setService(
      service(`web-${index}`, { clusterIP: `10.96.${index >> 8}.${index & 255}`, ports: [{ name: "http", port: 80 }] }),
    );
    tracker.setSlice(slice(`web-${index}`, [ENDPOINTS.podA]));
  }
  tracker.takeChanges();
  const ruleset = new IptablesRuleset({ family: "IPv4", config });
  const everything = ruleset.rebuild(tracker.all(), nothing, []);
  assert.ok(everything.length > 1, "a large one is several transactions");
  const size = () => ruleset.update(tracker.takeChanges()).join("").length;
  tracker.setSlice(slice("web-7", [ENDPOINTS.podA, ENDPOINTS.podB]));
  assert.ok(size() < 2000);
  tracker.setSlice(slice("web-8", []));
  assert.ok(size() < 2000);
  tracker.deleteService({ namespace: "default", name: "web-9" });
  assert.ok(size() < 2000);
  assert.equal(size(), 0);
});

test("which addresses take node ports", () => {
  const jump = (more: object, family: "IPv4" | "IPv6" = "IPv4") =>
    nodePortJumps({ ...config, ...more }, family).map((rule) => rule.replace(/^-m comment --comment "[^"]*" /, ""));
  assert.deepEqual(jump({}), ["-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]);
  assert.deepEqual(jump({ localhostNodePorts: false }), [
    "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
  ]);
  assert.deepEqual(jump({}, "IPv6"), ["! -d ::1/128 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]);
  assert.deepEqual(jump({ nodePortAddresses: ["172.31.1.1/32"] }), [
    "-d 172.31.1.1/32 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
  ]);
  assert.equal(needsRouteLocalnet(config, "IPv4"), true);
  assert.equal(needsRouteLocalnet({ ...config, nodePortAddresses: ["172.31.1.1/32"] }, "IPv4"), false);
  assert.equal(needsRouteLocalnet({ ...config, localhostNodePorts: false }, "IPv4"), false);
});
