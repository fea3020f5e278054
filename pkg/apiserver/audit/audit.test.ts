import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { ApiRequest } from "../contract.ts";
import { parseTarget } from "../http/target.ts";
import { AuditLogFile, type AuditPolicy, AuditRecorder, parseAuditPolicy } from "./index.ts";
import { auditLevel } from "./policy.ts";

const user: UserInfo = { name: "jane", groups: ["dev", "system:authenticated"] };
const policyOf = (...rules: object[]): AuditPolicy =>
  parseAuditPolicy({ apiVersion: "audit.k8s.io/v1", kind: "Policy", rules });

test("the first matching rule decides", () => {
  const policy = policyOf(
    { level: "None", users: ["system:kube-proxy"] },
    { level: "None", nonResourceURLs: ["/healthz*", "/version"] },
    { level: "Request", resources: [{ group: "", resources: ["secrets"] }], namespaces: ["prod"] },
    { level: "Metadata", resources: [{ group: "", resources: ["pods/*"] }], verbs: ["create"] },
    { level: "RequestResponse", userGroups: ["dev"], resources: [{ group: "apps" }], omitStages: ["RequestReceived"] },
  );
  const levelOf = (method: string, url: string, who = user): string =>
    auditLevel(policy, who, parseTarget(method, url)).level;
  assert.equal(levelOf("GET", "/api/v1/pods", { name: "system:kube-proxy", groups: [] }), "None");
  assert.equal(levelOf("GET", "/healthz/etcd"), "None");
  assert.equal(levelOf("GET", "/api/v1/namespaces/prod/secrets/x"), "Request");
  assert.equal(levelOf("GET", "/api/v1/namespaces/dev/secrets/x"), "None");
  assert.equal(levelOf("POST", "/api/v1/namespaces/dev/pods/p/exec"), "Metadata");
  assert.equal(levelOf("POST", "/api/v1/namespaces/dev/pods"), "None");
  assert.equal(levelOf("GET", "/apis/apps/v1/deployments"), "RequestResponse");
  assert.equal(levelOf("GET", "/apis/apps/v1/deployments", { name: "x", groups: [] }), "None");
  assert.throws(() => policyOf({ level: "Everything" }), /rules\[0\].level: Unsupported value: "Everything"/);
  assert.throws(() => parseAuditPolicy({ kind: "Policy", apiVersion: "audit.k8s.io/v1" }), /no rules/);
});

test("events have upstream's shape", async () => {
  const lines: Record<string, unknown>[] = [];
  const clock = new FakeClock();
  const recorder = new AuditRecorder({
    policy: policyOf({ level: "Request" }),
    write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>),
    clock,
    random: new SeededRandom(1),
  });
  const request: ApiRequest = {
    method: "POST",
    url: "/api/v1/namespaces/ns/configmaps?dryRun=All",
    headers: { "user-agent": "kubectl", "content-type": "application/json", "x-forwarded-for": "1.2.3.4" },
    body: async () => Buffer.from('{"kind":"ConfigMap"}'),
    remoteAddress: "10.0.0.1",
    peer: {},
    signal: new AbortController().signal,
  };
  const audited = recorder.began(request, parseTarget(request.method, request.url), user)!;
  await clock.advance(5);
  audited.annotate("authorization.k8s.io/decision", "allow");
  audited.ended(201, new Map(), undefined);
  await new Promise((resolve) => setImmediate(resolve));
  const [received, complete] = lines as [Record<string, unknown>, Record<string, unknown>];
  assert.equal(received["stage"], "RequestReceived");
  const { auditID, ...rest } = complete;
  assert.equal(received["auditID"], auditID);
  assert.deepEqual(rest, {
    kind: "Event",
    apiVersion: "audit.k8s.io/v1",
    level: "Request",
    requestURI: request.url,
    verb: "create",
    user: { username: "jane", groups: ["dev", "system:authenticated"] },
    sourceIPs: ["1.2.3.4", "10.0.0.1"],
    userAgent: "kubectl",
    objectRef: { resource: "configmaps", namespace: "ns", apiVersion: "v1" },
    requestReceivedTimestamp: "2026-01-01T00:00:00.000000Z",
    stage: "ResponseComplete",
    responseStatus: { metadata: {}, code: 201 },
    requestObject: { kind: "ConfigMap" },
    annotations: { "authorization.k8s.io/decision": "allow" },
    stageTimestamp: "2026-01-01T00:00:00.005000Z",
  });
});

describe("log file", () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "kubits-audit-"));
  });
  after(() => rm(dir, { recursive: true }));

  test("appends in order and rotates by size, keeping so many backups", async () => {
    const clock = new FakeClock();
    const file = new AuditLogFile({
      path: join(dir, "log", "audit.log"),
      maxSizeMiB: 0.001,
      maxBackups: 2,
      clock,
      log: silentLogger,
    });
    for (let i = 0; i < 6; i++) {
      file.write(`${i} ${"x".repeat(700)}`);
      await file.flush();
      await clock.advance(1000);
    }
    const names = (await readdir(join(dir, "log"))).sort();
    assert.deepEqual(names, ["audit-2026-01-01T00-00-04.000.log", "audit-2026-01-01T00-00-05.000.log", "audit.log"]);
    assert.match(await readFile(join(dir, "log", "audit.log"), "utf8"), /^5 x+\n$/);
    file.write("a");
    file.write("b");
    await file.flush();
    assert.match(await readFile(join(dir, "log", "audit.log"), "utf8"), /\na\nb\n$/);
  });

  test("rotated files go when they are too old", async () => {
    const clock = new FakeClock();
    const path = join(dir, "aging", "audit.log");
    const file = new AuditLogFile({ path, maxSizeMiB: 0.001, maxAgeDays: 2, clock, log: silentLogger });
    for (let i = 0; i < 5; i++) {
      file.write(`${i} ${"x".repeat(700)}`);
      await file.flush();
      await clock.advance(86_400_000);
    }
    const names = (await readdir(join(dir, "aging"))).sort();
    assert.deepEqual(names, [
      "audit-2026-01-03T00-00-00.000.log",
      "audit-2026-01-04T00-00-00.000.log",
      "audit-2026-01-05T00-00-00.000.log",
      "audit.log",
    ]);
  });
});
