import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "#pkg/api/types/rbac-v1.ts";
import type { ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import type { VolumeAttachment } from "#pkg/api/types/storage-v1.ts";
import type { KubeObject, UserInfo } from "#pkg/apimachinery/index.ts";
import { systemNodeRules } from "../bootstrap/index.ts";
import type { AdmissionAttributes, Attributes, Decision } from "../contract.ts";
import { MemorySource } from "../source/index.ts";
import { createAuthorizer, createAuthzReviews, forbiddenError, RbacEscalation, UnionAuthorizer } from "./index.ts";

const alice: UserInfo = { name: "alice", groups: ["dev", "system:authenticated"] };
const root: UserInfo = { name: "root", groups: ["system:masters"] };
const robot: UserInfo = {
  name: "system:serviceaccount:ci:robot",
  groups: ["system:serviceaccounts", "system:serviceaccounts:ci"],
};

type Question = Partial<Extract<Attributes, { resourceRequest: true }>>;
const ask = (user: UserInfo, verb: string, resource: string, more: Question = {}): Attributes => ({
  user,
  resourceRequest: true,
  verb,
  namespace: "",
  apiGroup: "",
  apiVersion: "v1",
  resource,
  subresource: "",
  name: "",
  ...more,
});

function cluster() {
  const roles = new MemorySource<Role>();
  const roleBindings = new MemorySource<RoleBinding>();
  const clusterRoles = new MemorySource<ClusterRole>();
  const clusterRoleBindings = new MemorySource<ClusterRoleBinding>();
  const pods = new MemorySource<Pod>();
  const persistentVolumeClaims = new MemorySource<PersistentVolumeClaim>();
  const persistentVolumes = new MemorySource<PersistentVolume>();
  const volumeAttachments = new MemorySource<VolumeAttachment>();
  const resourceSlices = new MemorySource<ResourceSlice>();
  const { authorizer, rbac } = createAuthorizer({
    modes: ["Node", "RBAC"],
    rbac: { roles, roleBindings, clusterRoles, clusterRoleBindings },
    node: {
      pods,
      persistentVolumeClaims,
      persistentVolumes,
      volumeAttachments,
      resourceSlices,
      nodeRules: systemNodeRules(),
    },
  });
  const put = <T>(source: { set(object: T): void }, object: object): void => source.set(object as T);
  return {
    authorizer,
    rbac: rbac!,
    roles,
    roleBindings,
    clusterRoles,
    clusterRoleBindings,
    pods,
    persistentVolumeClaims,
    persistentVolumes,
    put,
  };
}

function decide(
  authorizer: { authorize(a: Attributes): Decision | Promise<Decision> },
  attributes: Attributes,
): Decision {
  const decision = authorizer.authorize(attributes);
  assert.ok(!(decision instanceof Promise), "RBAC and Node answer synchronously");
  return decision;
}

describe("RBAC", () => {
  const c = cluster();
  c.put(c.clusterRoles, {
    metadata: { name: "reader" },
    rules: [
      { apiGroups: [""], resources: ["pods", "pods/log", "*/scale"], verbs: ["get", "list"] },
      { apiGroups: ["*"], resources: ["deployments"], resourceNames: ["web"], verbs: ["*"] },
      { nonResourceURLs: ["/healthz", "/logs/*"], verbs: ["get"] },
    ],
  });
  c.put(c.roles, {
    metadata: { name: "editor", namespace: "ns" },
    rules: [{ apiGroups: [""], resources: ["*"], verbs: ["*"] }],
  });
  c.put(c.clusterRoleBindings, {
    metadata: { name: "readers" },
    roleRef: { kind: "ClusterRole", name: "reader" },
    subjects: [{ kind: "Group", name: "dev" }],
  });
  c.put(c.roleBindings, {
    metadata: { name: "edit", namespace: "ns" },
    roleRef: { kind: "Role", name: "editor" },
    subjects: [
      { kind: "ServiceAccount", name: "robot", namespace: "ci" },
      { kind: "ServiceAccount", name: "local" },
    ],
  });

  const table: [string, Attributes, boolean][] = [
    ["group through ClusterRoleBinding", ask(alice, "list", "pods"), true],
    ["in any namespace", ask(alice, "get", "pods", { namespace: "x", name: "p" }), true],
    ["verb not granted", ask(alice, "delete", "pods"), false],
    ["subresource granted by name", ask(alice, "get", "pods", { subresource: "log" }), true],
    ["subresource not granted", ask(alice, "get", "pods", { subresource: "exec" }), false],
    ["star-slash subresource", ask(alice, "get", "replicationcontrollers", { subresource: "scale" }), true],
    ["star-slash is not the resource", ask(alice, "get", "replicationcontrollers"), false],
    ["resource name", ask(alice, "delete", "deployments", { apiGroup: "apps", name: "web" }), true],
    ["another name", ask(alice, "delete", "deployments", { apiGroup: "apps", name: "db" }), false],
    ["list has no name", ask(alice, "list", "deployments", { apiGroup: "apps" }), false],
    ["another group", ask(alice, "list", "pods", { apiGroup: "metrics.k8s.io" }), false],
    ["URL", { user: alice, resourceRequest: false, verb: "get", path: "/healthz" }, true],
    ["URL below a pattern", { user: alice, resourceRequest: false, verb: "get", path: "/logs/a/b" }, true],
    ["URL beside a pattern", { user: alice, resourceRequest: false, verb: "get", path: "/healthz/x" }, false],
    ["service account in the binding's namespace", ask(robot, "update", "secrets", { namespace: "ns" }), true],
    ["service account elsewhere", ask(robot, "update", "secrets", { namespace: "other" }), false],
    ["service account at cluster scope", ask(robot, "update", "secrets"), false],
    [
      "account without namespace means the binding's",
      ask({ name: "system:serviceaccount:ns:local", groups: [] }, "get", "pods", { namespace: "ns" }),
      true,
    ],
    ["star resource covers subresources", ask(robot, "create", "pods", { namespace: "ns", subresource: "exec" }), true],
    ["system:masters", ask(root, "delete", "nodes"), true],
    ["a stranger", ask({ name: "eve", groups: [] }, "list", "pods"), false],
  ];
  for (const [name, attributes, allowed] of table) {
    test(name, () => assert.equal(decide(c.authorizer, attributes).decision === "allow", allowed));
  }

  test("gives upstream's reasons", () => {
    assert.equal(
      decide(c.authorizer, ask(alice, "list", "pods")).reason,
      'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "dev"',
    );
    assert.equal(
      decide(c.authorizer, ask(robot, "list", "pods", { namespace: "ns" })).reason,
      'RBAC: allowed by RoleBinding "edit/ns" of Role "editor" to ServiceAccount "robot/ci"',
    );
  });

  test("follows changes at once, for identities already seen", () => {
    const d = cluster();
    const question = ask(alice, "list", "secrets", { namespace: "ns" });
    const allowed = (): boolean => decide(d.authorizer, question).decision === "allow";
    assert.equal(allowed(), false);
    d.put(d.roleBindings, {
      metadata: { name: "b", namespace: "ns" },
      roleRef: { kind: "Role", name: "r" },
      subjects: [{ kind: "User", name: "alice" }],
    });
    assert.equal(decide(d.authorizer, question).reason, 'RBAC: role.rbac.authorization.k8s.io "r" not found');
    d.put(d.roles, {
      metadata: { name: "r", namespace: "ns" },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }],
    });
    assert.equal(allowed(), true);
    d.put(d.roleBindings, {
      metadata: { name: "b", namespace: "ns" },
      roleRef: { kind: "Role", name: "r" },
      subjects: [{ kind: "User", name: "bob" }],
    });
    assert.equal(allowed(), false);
    d.put(d.roleBindings, {
      metadata: { name: "b", namespace: "ns" },
      roleRef: { kind: "Role", name: "r" },
      subjects: [{ kind: "Group", name: "dev" }],
    });
    assert.equal(allowed(), true);
    d.roleBindings.delete("ns", "b");
    assert.equal(allowed(), false);
  });
});

describe("forbidden messages", () => {
  const table: [Attributes, string][] = [
    [
      ask(alice, "list", "pods", { namespace: "default" }),
      'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"',
    ],
    [
      ask(alice, "update", "deployments", { apiGroup: "apps", subresource: "scale", name: "web", namespace: "x" }),
      'deployments.apps "web" is forbidden: User "alice" cannot update resource "deployments/scale" in API group "apps" in the namespace "x"',
    ],
    [
      ask(alice, "list", "nodes"),
      'nodes is forbidden: User "alice" cannot list resource "nodes" in API group "" at the cluster scope',
    ],
    [
      { user: alice, resourceRequest: false, verb: "get", path: "/metrics" },
      'forbidden: User "alice" cannot get path "/metrics"',
    ],
  ];
  for (const [attributes, message] of table) {
    test(message, () => {
      const error = forbiddenError(attributes, "");
      assert.equal(error.message, message);
      assert.equal(error.code, 403);
      assert.equal(forbiddenError(attributes, "because").message, `${message}: because`);
    });
  }
});

describe("Node authorizer", () => {
  const c = cluster();
  const node: UserInfo = { name: "system:node:n1", groups: ["system:nodes", "system:authenticated"] };
  c.put(c.pods, {
    metadata: { name: "p", namespace: "ns", uid: "1" },
    spec: {
      nodeName: "n1",
      serviceAccountName: "sa",
      imagePullSecrets: [{ name: "pull" }],
      containers: [{ name: "c", env: [{ name: "E", valueFrom: { configMapKeyRef: { name: "env", key: "k" } } }] }],
      volumes: [
        { name: "a", secret: { secretName: "vol" } },
        { name: "b", projected: { sources: [{ configMap: { name: "proj" } }] } },
        { name: "c", persistentVolumeClaim: { claimName: "claim" } },
      ],
    },
  });
  c.put(c.pods, {
    metadata: { name: "q", namespace: "ns" },
    spec: { nodeName: "n2", containers: [], volumes: [{ name: "a", secret: { secretName: "other" } }] },
  });
  c.put(c.persistentVolumeClaims, { metadata: { name: "claim", namespace: "ns" }, spec: { volumeName: "pv" } });
  c.put(c.persistentVolumes, {
    metadata: { name: "pv" },
    spec: {
      claimRef: { name: "claim", namespace: "ns" },
      csi: { driver: "d", volumeHandle: "h", nodeStageSecretRef: { name: "stage", namespace: "csi" } },
    },
  });
  const own = { namespace: "ns" };
  const lease = { apiGroup: "coordination.k8s.io", namespace: "kube-node-lease" };
  const table: [string, Attributes, boolean][] = [
    ["secret of its pod", ask(node, "get", "secrets", { ...own, name: "vol" }), true],
    ["pull secret", ask(node, "watch", "secrets", { ...own, name: "pull" }), true],
    ["secret of a bound volume", ask(node, "get", "secrets", { namespace: "csi", name: "stage" }), true],
    ["secret of another node's pod", ask(node, "get", "secrets", { ...own, name: "other" }), false],
    ["same name, another namespace", ask(node, "get", "secrets", { namespace: "x", name: "vol" }), false],
    ["all secrets", ask(node, "list", "secrets", own), false],
    ["writing a secret", ask(node, "update", "secrets", { ...own, name: "vol" }), false],
    ["config map of env", ask(node, "get", "configmaps", { ...own, name: "env" }), true],
    ["projected config map", ask(node, "get", "configmaps", { ...own, name: "proj" }), true],
    ["claim", ask(node, "get", "persistentvolumeclaims", { ...own, name: "claim" }), true],
    ["volume of the claim", ask(node, "get", "persistentvolumes", { name: "pv" }), true],
    ["another volume", ask(node, "get", "persistentvolumes", { name: "pv2" }), false],
    [
      "token of the pod's account",
      ask(node, "create", "serviceaccounts", { ...own, name: "sa", subresource: "token" }),
      true,
    ],
    [
      "token of another account",
      ask(node, "create", "serviceaccounts", { ...own, name: "admin", subresource: "token" }),
      false,
    ],
    ["its lease", ask(node, "update", "leases", { ...lease, name: "n1" }), true],
    ["another's lease", ask(node, "update", "leases", { ...lease, name: "n2" }), false],
    ["a lease elsewhere", ask(node, "get", "leases", { ...lease, namespace: "kube-system", name: "n1" }), false],
    ["its Node", ask(node, "get", "nodes", { name: "n1" }), true],
    ["another Node", ask(node, "get", "nodes", { name: "n2" }), false],
    ["its status (admission narrows)", ask(node, "patch", "nodes", { name: "n1", subresource: "status" }), true],
    ["pods of its node", ask(node, "list", "pods", { fieldSelector: "spec.nodeName=n1" }), true],
    ["pods of all nodes", ask(node, "list", "pods"), false],
    ["pods of another node", ask(node, "watch", "pods", { fieldSelector: "spec.nodeName=n2" }), false],
    ["services", ask(node, "list", "services"), true],
    ["deployments", ask(node, "list", "deployments", { apiGroup: "apps" }), false],
    [
      "without the nodes group",
      ask({ name: "system:node:n1", groups: [] }, "get", "secrets", { ...own, name: "vol" }),
      false,
    ],
  ];
  for (const [name, attributes, allowed] of table) {
    test(name, () => assert.equal(decide(c.authorizer, attributes).decision === "allow", allowed));
  }
  test("says why, and forgets pods that move away", () => {
    const question = ask(node, "get", "secrets", { ...own, name: "vol" });
    const unknown = decide(c.authorizer, ask(node, "get", "secrets", { ...own, name: "none" }));
    assert.equal(unknown.reason, "no relationship found between node 'n1' and this object");
    c.pods.delete("ns", "p");
    assert.equal(decide(c.authorizer, question).decision, "no-opinion");
  });
});

describe("reviews", () => {
  const c = cluster();
  c.put(c.clusterRoles, {
    metadata: { name: "r" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }],
  });
  c.put(c.clusterRoleBindings, {
    metadata: { name: "b" },
    roleRef: { kind: "ClusterRole", name: "r" },
    subjects: [{ kind: "User", name: "alice" }],
  });
  const reviews = createAuthzReviews(c);
  const context = {
    user: alice,
    namespace: "ns",
    name: "",
    signal: new AbortController().signal,
    warn: () => undefined,
    annotate: () => undefined,
  };
  const run = async (plural: string, spec: object): Promise<KubeObject> =>
    await reviews.get(`authorization.k8s.io/${plural}`)!({ metadata: {}, spec }, context);

  test("SubjectAccessReview and SelfSubjectAccessReview judge", async () => {
    const resourceAttributes = { verb: "list", resource: "pods", namespace: "ns" };
    const subject = await run("subjectaccessreviews", { user: "alice", resourceAttributes });
    assert.deepEqual(subject["status"], {
      allowed: true,
      reason: 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "alice"',
    });
    assert.deepEqual((await run("subjectaccessreviews", { user: "bob", resourceAttributes }))["status"], {
      allowed: false,
    });
    assert.equal(
      ((await run("selfsubjectaccessreviews", { resourceAttributes }))["status"] as { allowed: boolean }).allowed,
      true,
    );
    assert.equal(
      (
        (await run("localsubjectaccessreviews", { user: "alice", resourceAttributes }))["status"] as {
          allowed: boolean;
        }
      ).allowed,
      true,
    );
  });
  test("SelfSubjectRulesReview lists", async () => {
    const review = await run("selfsubjectrulesreviews", { namespace: "ns" });
    assert.deepEqual(review["spec"], {});
    assert.deepEqual(review["status"], {
      resourceRules: [{ verbs: ["list"], apiGroups: [""], resources: ["pods"] }],
      nonResourceRules: [],
      incomplete: false,
    });
  });
  test("SelfSubjectRulesReview says that it cannot list all of a node's permissions", async () => {
    const user = { name: "system:node:n1", groups: ["system:nodes"] };
    const ask = createAuthzReviews({ ...c, nodes: true }).get("authorization.k8s.io/selfsubjectrulesreviews")!;
    const { status } = (await ask({ metadata: {}, spec: { namespace: "ns" } } as never, { user } as never)) as {
      status?: unknown;
    };
    const { incomplete, evaluationError } = status as { incomplete: boolean; evaluationError: string };
    assert.deepEqual([incomplete, evaluationError], [true, "node authorizer does not support user rule resolution"]);
  });
  test("malformed reviews are invalid", async () => {
    await assert.rejects(
      run("subjectaccessreviews", { resourceAttributes: {} }),
      /spec.user: Invalid value: "": at least one of user or group must be specified/,
    );
    await assert.rejects(
      run("selfsubjectaccessreviews", {}),
      /exactly one of nonResourceAttributes or resourceAttributes/,
    );
    await assert.rejects(
      run("localsubjectaccessreviews", { user: "a", resourceAttributes: { namespace: "other" } }),
      /spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace/,
    );
  });
});

describe("escalation", () => {
  const c = cluster();
  c.put(c.clusterRoles, {
    metadata: { name: "lister" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["list", "get"] }],
  });
  c.put(c.clusterRoles, { metadata: { name: "admin" }, rules: [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }] });
  c.put(c.clusterRoles, {
    metadata: { name: "binder" },
    rules: [
      {
        apiGroups: ["rbac.authorization.k8s.io"],
        resources: ["clusterroles"],
        verbs: ["bind"],
        resourceNames: ["admin"],
      },
    ],
  });
  c.put(c.clusterRoleBindings, {
    metadata: { name: "b" },
    roleRef: { kind: "ClusterRole", name: "lister" },
    subjects: [{ kind: "User", name: "alice" }],
  });
  c.put(c.clusterRoleBindings, {
    metadata: { name: "c" },
    roleRef: { kind: "ClusterRole", name: "binder" },
    subjects: [{ kind: "User", name: "bob" }],
  });
  const plugin = new RbacEscalation(c.rbac, c.authorizer);
  const attributes = (user: UserInfo, plural: string, object: object, oldObject?: object): AdmissionAttributes =>
    ({
      operation: oldObject === undefined ? "CREATE" : "UPDATE",
      resource: { group: "rbac.authorization.k8s.io", plural },
      subresource: "",
      namespace: "",
      name: "x",
      user,
      object,
      oldObject,
    }) as unknown as AdmissionAttributes;
  const role = (verbs: string[], more: object = {}): object => ({
    metadata: { name: "x" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs }],
    ...more,
  });

  test("one may grant what one holds", async () => {
    const a = attributes(alice, "clusterroles", role(["list"]));
    assert.equal(plugin.handles(a), true);
    await plugin.validate(a);
    await plugin.validate(
      attributes(alice, "clusterrolebindings", { metadata: {}, roleRef: { kind: "ClusterRole", name: "lister" } }),
    );
    await plugin.validate(attributes(root, "clusterroles", role(["*"])));
  });
  test("and nothing else", async () => {
    await assert.rejects(
      plugin.validate(attributes(alice, "clusterroles", role(["list", "delete", "create"]))),
      (error: Error) => {
        assert.equal(
          error.message,
          'clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "alice" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}',
        );
        return true;
      },
    );
    await assert.rejects(
      plugin.validate(attributes(alice, "clusterroles", role(["list"], { aggregationRule: {} }))),
      /must have cluster-admin privileges to use the aggregationRule/,
    );
    const bind = (user: UserInfo, name: string): Promise<void> =>
      plugin.validate(
        attributes(user, "clusterrolebindings", { metadata: {}, roleRef: { kind: "ClusterRole", name } }),
      );
    await assert.rejects(bind(alice, "admin"), /not currently held/);
    await assert.rejects(bind(alice, "none"), /clusterroles.rbac.authorization.k8s.io "none" not found/);
    await bind({ name: "bob", groups: [] }, "admin");
  });
  test("edits of owner references and finalizers are let through", async () => {
    const old = role(["delete"]);
    await plugin.validate(
      attributes(alice, "clusterroles", { ...role(["delete"]), metadata: { name: "x", finalizers: ["f"] } }, old),
    );
    await assert.rejects(
      plugin.validate(
        attributes(alice, "clusterroles", { ...role(["delete"]), metadata: { name: "x", labels: { a: "b" } } }, old),
      ),
    );
  });
});

describe("union", () => {
  test("goes on after a pending answer and stops at a denial", async () => {
    const asked: string[] = [];
    const member = (name: string, decision: Decision["decision"], later = false) => ({
      authorize: () => {
        asked.push(name);
        const answer: Decision = { decision, reason: name };
        return later ? Promise.resolve(answer) : answer;
      },
    });
    const union = new UnionAuthorizer([
      member("a", "no-opinion"),
      member("b", "no-opinion", true),
      member("c", "deny"),
      member("d", "allow"),
    ]);
    assert.deepEqual(await union.authorize(ask(alice, "get", "pods")), { decision: "deny", reason: "c" });
    assert.deepEqual(asked, ["a", "b", "c"]);
    const none = new UnionAuthorizer([member("a", "no-opinion"), member("b", "no-opinion")]);
    assert.equal(decide(none, ask(alice, "get", "pods")).reason, "a\nb");
  });
});
