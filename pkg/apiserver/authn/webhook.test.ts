import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, describe, test } from "node:test";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { FakeClock, RealClock, silentLogger } from "#pkg/util/index.ts";
import { HttpsTransport } from "../admission/index.ts";
import { AuthorizationWebhook } from "../authz/index.ts";
import type { Attributes } from "../contract.ts";
import { InvalidTokenError, type ReviewWebhookConfig, TokenWebhook } from "./index.ts";

describe("review webhooks over mutual TLS", () => {
  let server: Server;
  let config: ReviewWebhookConfig;
  let status: object | number;
  const asked: { client: string; review: { kind: string; spec: Record<string, unknown> } }[] = [];
  const transport = new HttpsTransport(new RealClock());
  const clock = new FakeClock();

  before(async () => {
    const now = Date.now();
    const ca = await createCa({ commonName: "ca", validityDays: 1, now });
    const serving = await issueCertificate(ca, {
      commonName: "hook",
      usages: ["server"],
      ips: ["127.0.0.1"],
      validityDays: 1,
      now,
    });
    const client = await issueCertificate(ca, {
      commonName: "kube-apiserver",
      usages: ["client"],
      validityDays: 1,
      now,
    });
    server = createServer(
      { ...serving, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      (request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          const subject = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
          asked.push({ client: String(subject), review: JSON.parse(Buffer.concat(chunks).toString()) });
          if (typeof status === "number") response.writeHead(status).end();
          else response.end(JSON.stringify({ status }));
        });
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    config = {
      url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/review`,
      ca: ca.cert,
      cert: client.cert,
      key: client.key,
    };
  });
  after(() => {
    transport.close();
    server.closeAllConnections();
    server.close();
  });

  test("tokens: asked once, remembered for a while, failures are not", async () => {
    const webhook = new TokenWebhook({ transport, config, clock, log: silentLogger });
    status = { authenticated: true, user: { username: "jane", uid: "42", groups: ["dev"] }, audiences: ["api"] };
    const first = await webhook.authenticateToken("secret", ["api"]);
    assert.deepEqual(first, {
      user: { name: "jane", uid: "42", groups: ["dev", "system:authenticated"] },
      audiences: ["api"],
    });
    assert.equal(await webhook.authenticateToken("secret", ["api"]), first);
    assert.equal(asked.length, 1);
    assert.equal(asked[0]!.client, "kube-apiserver");
    assert.deepEqual(asked[0]!.review.spec, { token: "secret", audiences: ["api"] });
    await clock.advance(120_000);
    status = { authenticated: false };
    assert.equal(await webhook.authenticateToken("secret", ["api"]), undefined);
    status = 503;
    await assert.rejects(async () => webhook.authenticateToken("other", undefined), InvalidTokenError);
    status = { authenticated: true, user: { username: "jane" } };
    assert.equal((await webhook.authenticateToken("other", undefined))?.user.name, "jane");
    assert.equal(await webhook.authenticateToken("other", ["vault"]), undefined, "a webhook without audiences");
  });

  test("a stumbling webhook is asked again, five times at most", async () => {
    asked.length = 0;
    const hasty = { ...config, retryBackoffMs: 1 };
    const webhook = new TokenWebhook({ transport, config: hasty, clock: new RealClock(), log: silentLogger });
    status = 500;
    await assert.rejects(async () => webhook.authenticateToken("stumble", undefined), InvalidTokenError);
    assert.equal(asked.length, 5);
    asked.length = 0;
    const recovering = webhook.authenticateToken("recover", undefined);
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    status = { authenticated: true, user: { username: "jane" } };
    assert.equal((await recovering)?.user.name, "jane");
  });

  test("authorization: allow, deny, no opinion, cached by outcome", async () => {
    asked.length = 0;
    const webhook = new AuthorizationWebhook({ transport, config, clock, log: silentLogger });
    const attributes: Attributes = {
      user: { name: "jane", groups: ["dev"] },
      resourceRequest: true,
      verb: "get",
      namespace: "ns",
      apiGroup: "",
      apiVersion: "v1",
      resource: "pods",
      subresource: "",
      name: "p",
    };
    status = { allowed: true, reason: "fine" };
    assert.deepEqual(await webhook.authorize(attributes), { decision: "allow", reason: "fine" });
    assert.deepEqual(webhook.authorize(attributes), { decision: "allow", reason: "fine" }, "at once the second time");
    assert.deepEqual(asked[0]!.review.spec["resourceAttributes"], {
      verb: "get",
      namespace: "ns",
      group: "",
      version: "v1",
      resource: "pods",
      subresource: "",
      name: "p",
    });
    status = { allowed: false, denied: true, reason: "never" };
    assert.deepEqual(await webhook.authorize({ ...attributes, verb: "delete" }), { decision: "deny", reason: "never" });
    status = 503;
    assert.deepEqual(
      await webhook.authorize({ user: attributes.user, resourceRequest: false, verb: "get", path: "/x" }),
      { decision: "no-opinion", reason: "" },
    );
    await clock.advance(300_000);
    status = { allowed: false };
    assert.equal((await webhook.authorize(attributes)).decision, "no-opinion");
  });
});
