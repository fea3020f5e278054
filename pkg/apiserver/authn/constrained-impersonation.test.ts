import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { ApiRequest, Attributes, Authorizer } from "../contract.ts";
import { Impersonator } from "./index.ts";

const agent: UserInfo = {
  name: "system:serviceaccount:ns:agent",
  groups: ["system:authenticated"],
  extra: { "authentication.kubernetes.io/node-name": ["n1"] },
};
const LIST_PODS = "/api/v1/namespaces/ns/pods";

function request(user: string, url = LIST_PODS, more: Record<string, string> = {}): ApiRequest {
  return {
    method: "GET",
    url,
    headers: { "impersonate-user": user, ...more },
    body: async () => Buffer.alloc(0),
    remoteAddress: "",
    peer: {},
    signal: new AbortController().signal,
  };
}
const described = (a: Attributes): string =>
  a.resourceRequest ? `${a.verb} ${a.resource}.${a.apiGroup} ${a.namespace}/${a.name}` : `${a.verb} ${a.path}`;
const allowing = (...rights: string[]): Authorizer => ({
  authorize: (a) => ({ decision: rights.includes(described(a)) ? "allow" : "no-opinion", reason: "" }),
});
const as = (rights: string[], ...parameters: Parameters<typeof request>): Promise<UserInfo> =>
  new Impersonator(allowing(...rights)).impersonate(request(...parameters), agent);

describe("constrained impersonation", () => {
  const jane = ["impersonate:user-info users.authentication.k8s.io /jane", "impersonate-on:user-info:list pods. ns/"];
  test("an identity for one action, and for no other", async () => {
    assert.deepEqual(await as(jane, "jane"), { name: "jane", groups: ["system:authenticated"] });
    await assert.rejects(as(jane, "jane", "/api/v1/namespaces/ns/secrets"), {
      message:
        'users "jane" is forbidden: User "system:serviceaccount:ns:agent" cannot impersonate resource "users" in API group "" at the cluster scope',
    });
    await assert.rejects(as(jane, "joe"), { code: 403 });
    await assert.rejects(as(jane.slice(0, 1), "jane"), { code: 403 }, "the identity alone is not enough");
    await assert.rejects(as(jane, "jane", LIST_PODS, { "impersonate-group": "dev" }), { code: 403 });
  });
  test("paths that are no resources", async () => {
    const rights = [jane[0]!, "impersonate-on:user-info:get /healthz"];
    assert.equal((await as(rights, "jane", "/healthz")).name, "jane");
  });
  test("service accounts have a mode of their own, and only by themselves", async () => {
    const rights = [
      "impersonate:serviceaccount serviceaccounts.authentication.k8s.io ns/bot",
      "impersonate-on:serviceaccount:list pods. ns/",
    ];
    const bot = await as(rights, "system:serviceaccount:ns:bot");
    assert.deepEqual(bot.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    await assert.rejects(as(rights, "system:serviceaccount:ns:bot", LIST_PODS, { "impersonate-group": "dev" }), {
      code: 403,
    });
  });
  test("an agent may be its own node, and no other", async () => {
    const rights = (node: string): string[] => [
      `impersonate:associated-node nodes.authentication.k8s.io /${node}`,
      "impersonate-on:associated-node:list pods. ns/",
    ];
    assert.deepEqual((await as(rights("n1"), "system:node:n1")).groups, ["system:nodes", "system:authenticated"]);
    await assert.rejects(as(rights("n2"), "system:node:n2"), { code: 403 });
    const arbitrary = [
      "impersonate:arbitrary-node nodes.authentication.k8s.io /n2",
      "impersonate-on:arbitrary-node:list pods. ns/",
    ];
    assert.equal((await as(arbitrary, "system:node:n2")).name, "system:node:n2");
  });
  test("system:masters takes the legacy verb; that verb goes on allowing everything", async () => {
    const groups = { "impersonate-group": "system:masters" };
    const constrained = [...jane, "impersonate:user-info groups.authentication.k8s.io /system:masters"];
    await assert.rejects(as(constrained, "jane", LIST_PODS, groups), { code: 403 });
    const legacy = ["impersonate users. /jane", "impersonate groups. /system:masters"];
    assert.deepEqual((await as(legacy, "jane", "/api/v1/secrets", groups)).groups, [
      "system:masters",
      "system:authenticated",
    ]);
    assert.deepEqual((await as(["impersonate users. /system:node:n1"], "system:node:n1")).groups, [
      "system:authenticated",
    ]);
  });
});
