import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { ClusterRole, ClusterRoleBinding } from "#pkg/api/types/rbac-v1.ts";
import { type CacheEntry, KeyExistsError } from "#pkg/storage/cacher/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import {
  bootstrapExtensionAuthentication,
  bootstrapRbac,
  bootstrapSystemObjects,
  defaultRbacObjects,
  type StoredCache,
} from "./index.ts";

class FakeCache implements StoredCache {
  readonly objects = new Map<string, CacheEntry>();
  writes = 0;
  async get(namespace: string, name: string): Promise<CacheEntry | undefined> {
    return this.objects.get(`${namespace}/${name}`);
  }
  async create(object: KubeObject): Promise<CacheEntry> {
    const { namespace = "", name = "" } = object.metadata;
    if (this.objects.has(`${namespace}/${name}`)) throw new KeyExistsError();
    return this.#put(object);
  }
  async update(_expected: CacheEntry, object: KubeObject): Promise<CacheEntry> {
    return this.#put(object);
  }
  async delete(expected: CacheEntry): Promise<CacheEntry> {
    this.objects.delete(`${expected.namespace}/${expected.name}`);
    return expected;
  }
  #put(object: KubeObject): CacheEntry {
    this.writes++;
    const { namespace = "", name = "" } = object.metadata;
    const key = `${namespace}/${name}`;
    const entry: CacheEntry = {
      key,
      namespace,
      name,
      revision: this.writes,
      object: Object.freeze(object),
      json: Buffer.alloc(0),
      leanJson: [],
      metadataJson: Buffer.alloc(0),
      variant: () => assert.fail(),
    };
    this.objects.set(key, entry);
    return entry;
  }
}

describe("bootstrap", () => {
  let caches: Map<string, FakeCache>;
  const cache = (_group: string, plural: string): FakeCache => {
    let found = caches.get(plural);
    if (found === undefined) caches.set(plural, (found = new FakeCache()));
    return found;
  };
  const deps = { cache, clock: new FakeClock(), random: new SeededRandom(1), log: silentLogger };
  const read = <T>(plural: string, name: string, namespace = ""): T =>
    caches.get(plural)!.objects.get(`${namespace}/${name}`)!.object as T;
  beforeEach(() => {
    caches = new Map();
  });

  test("creates everything once and then leaves it alone", async () => {
    await bootstrapSystemObjects(deps);
    await bootstrapRbac(deps);
    const writes = (): number => [...caches.values()].reduce((sum, { writes: n }) => sum + n, 0);
    const first = writes();
    assert.ok(first > 130);
    const admin = read<ClusterRoleBinding>("clusterrolebindings", "cluster-admin");
    assert.deepEqual(admin.subjects, [
      { apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "system:masters" },
    ]);
    assert.equal(admin.metadata.labels?.["kubernetes.io/bootstrapping"], "rbac-defaults");
    assert.match(admin.metadata.uid, /^[0-9a-f-]{36}$/);
    assert.ok(read("namespaces", "kube-node-lease"));
    assert.equal(read<{ value: number }>("priorityclasses", "system-node-critical").value, 2_000_001_000);
    assert.ok(read("roles", "extension-apiserver-authentication-reader", "kube-system"));
    await bootstrapSystemObjects(deps);
    await bootstrapRbac(deps);
    assert.equal(writes(), first);
  });

  test("adds what is missing and keeps what was added by hand", async () => {
    const wanted = defaultRbacObjects().clusterRoles.find(({ metadata }) => metadata.name === "system:kube-dns")!;
    const extra = { apiGroups: [""], resources: ["pods"], verbs: ["list"] };
    await cache("", "clusterroles").create({
      metadata: { name: "system:kube-dns", annotations: { mine: "x" } },
      rules: [extra],
    });
    await cache("", "clusterrolebindings").create({
      metadata: { name: "system:monitoring" },
      roleRef: { kind: "ClusterRole", name: "system:monitoring" },
      subjects: [{ kind: "User", name: "me" }],
    });
    await bootstrapRbac(deps);
    const role = read<ClusterRole>("clusterroles", "system:kube-dns");
    assert.deepEqual(role.rules, [extra, ...wanted.rules!]);
    assert.equal(role.metadata.annotations?.["mine"], "x");
    assert.deepEqual(
      read<ClusterRoleBinding>("clusterrolebindings", "system:monitoring").subjects?.map(({ name }) => name),
      ["me", "system:monitoring"],
    );
  });

  test("publishes whom aggregated servers trust, and keeps it so", async () => {
    const publish = (clientCa: string): Promise<void> =>
      bootstrapExtensionAuthentication(deps, {
        clientCa,
        requestHeaderCa: "proxy",
        allowedNames: ["front-proxy-client"],
      });
    const data = (): Record<string, string> =>
      read<{ data: Record<string, string> }>("configmaps", "extension-apiserver-authentication", "kube-system").data;
    await publish("old");
    await publish("new");
    assert.equal(data()["client-ca-file"], "new");
    assert.equal(data()["requestheader-allowed-names"], '["front-proxy-client"]');
    await publish("new");
    assert.equal(cache("", "configmaps").writes, 2);
  });

  test("respects autoupdate=false", async () => {
    const metadata = {
      name: "system:kube-dns",
      annotations: { "rbac.authorization.kubernetes.io/autoupdate": "false" },
    };
    await cache("", "clusterroles").create({ metadata, rules: [] });
    await bootstrapRbac(deps);
    assert.deepEqual(read<ClusterRole>("clusterroles", "system:kube-dns").rules, []);
  });
});
