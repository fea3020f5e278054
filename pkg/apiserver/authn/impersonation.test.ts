import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Attributes, Authorizer } from "../contract.ts";
import { Impersonator } from "./index.ts";
import { request } from "./testing.ts";

describe("impersonation", () => {
  const admin: UserInfo = { name: "admin", groups: ["system:authenticated"] };
  const asked: Attributes[] = [];
  const authorizer: Authorizer = {
    authorize: (attributes) => {
      asked.push(attributes);
      if (attributes.verb.includes(":")) return { decision: "no-opinion", reason: "" };
      const refused = attributes.resourceRequest && attributes.name === "system:masters";
      return { decision: refused ? "no-opinion" : "allow", reason: "" };
    },
  };
  const impersonator = new Impersonator(authorizer);
  const run = (headers: Record<string, string | string[]>): Promise<UserInfo> =>
    impersonator.impersonate(request(headers), admin);

  test("without headers one stays oneself", async () => {
    assert.equal(impersonator.requested(request({ accept: "x" })), false);
    assert.equal(await run({}), admin);
  });
  test("every part is authorized", async () => {
    asked.length = 0;
    const user = await run({
      "impersonate-user": "bob",
      "impersonate-group": ["dev", "ops, and more"],
      "impersonate-uid": "7",
      "impersonate-extra-example.com%2freason": ["x", "y"],
    });
    assert.deepEqual(user, {
      name: "bob",
      uid: "7",
      groups: ["dev", "ops, and more", "system:authenticated"],
      extra: { "example.com/reason": ["x", "y"] },
    });
    assert.deepEqual(
      asked
        .filter(({ verb }) => verb === "impersonate")
        .map((a) => (a.resourceRequest ? [a.verb, a.apiGroup, a.resource, a.subresource, a.name] : [])),
      [
        ["impersonate", "", "users", "", "bob"],
        ["impersonate", "", "groups", "", "dev"],
        ["impersonate", "", "groups", "", "ops, and more"],
        ["impersonate", "authentication.k8s.io", "userextras", "example.com/reason", "x"],
        ["impersonate", "authentication.k8s.io", "userextras", "example.com/reason", "y"],
        ["impersonate", "authentication.k8s.io", "uids", "", "7"],
      ],
    );
  });
  test("service accounts bring their groups, anonymous its own", async () => {
    assert.deepEqual((await run({ "impersonate-user": "system:serviceaccount:ns:robot" })).groups, [
      "system:serviceaccounts",
      "system:serviceaccounts:ns",
      "system:authenticated",
    ]);
    assert.deepEqual((await run({ "impersonate-user": "system:anonymous" })).groups, ["system:unauthenticated"]);
  });
  test("refusals read like upstream's", async () => {
    await assert.rejects(run({ "impersonate-user": "bob", "impersonate-group": "system:masters" }), {
      message:
        'groups "system:masters" is forbidden: User "admin" cannot impersonate resource "groups" in API group "" at the cluster scope',
    });
    await assert.rejects(run({ "impersonate-group": "dev", "impersonate-extra-a": "b" }), {
      message:
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string{"a":[]string{"b"}}} without impersonating a user name',
      code: 400,
    });
  });
});
