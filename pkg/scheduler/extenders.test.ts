import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createSecureServer } from "node:https";
import { after, before, describe, it } from "node:test";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { PodInfo } from "./cache/pod-info.ts";
import { HttpExtenders } from "./http-extenders.ts";
import { podDraft } from "./testing/cluster.ts";
import { stored } from "./testing/offline.ts";
import { parseSchedulerConfiguration } from "./config.ts";
import { startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";

describe("HTTP extenders", () => {
  let server: Server;
  let cluster: TestCluster;
  const asked: string[] = [];
  before(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { pod, nodenames } = JSON.parse(Buffer.concat(chunks).toString()) as {
          pod: { metadata: { name: string } };
          nodenames: string[];
        };
        asked.push(`${request.url} ${pod.metadata.name}`);
        if (pod.metadata.name.startsWith("hang")) return; // never answers
        response.setHeader("content-type", "application/json");
        if (request.url === "/prioritize")
          response.end(JSON.stringify(nodenames.map((host) => ({ host, score: host === "n3" ? 10 : 0 }))));
        else if (pod.metadata.name === "nowhere")
          response.end(
            JSON.stringify({ nodenames: [], failedNodes: Object.fromEntries(nodenames.map((n) => [n, "no licence"])) }),
          );
        else
          response.end(
            JSON.stringify({ nodenames: nodenames.filter((name) => name !== "n1"), failedNodes: { n1: "no licence" } }),
          );
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const config = parseSchedulerConfiguration({
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
      extenders: [
        {
          urlPrefix: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
          filterVerb: "filter",
          prioritizeVerb: "prioritize",
          weight: 10,
          nodeCacheCapable: true,
          httpTimeout: "4s",
          managedResources: [{ name: "example.com/licence" }],
        },
      ],
    });
    cluster = await startCluster({ config });
    for (const name of ["n1", "n2", "n3"])
      await cluster.addNode(name, { allocatable: { "example.com/licence": "200" } });
  });
  after(async () => {
    await cluster.close();
    server.closeAllConnections();
    server.close();
  });
  const licensed = (image = "x") => ({
    containers: [
      {
        name: "c",
        image,
        resources: { requests: { "example.com/licence": "1" }, limits: { "example.com/licence": "1" } },
      },
    ],
  });

  it("filters and scores with the extender, only for pods that use its resource", async () => {
    await cluster.addPod("plain");
    await cluster.bound("plain");
    assert.deepEqual(asked, []);
    await cluster.addPod("licensed", licensed());
    assert.equal((await cluster.bound("licensed")).spec.nodeName, "n3");
    assert.deepEqual(asked, ["/filter licensed", "/prioritize licensed"]);
  });

  it("gives the extender's reasons", async () => {
    await cluster.addPod("nowhere", licensed());
    assert.match(await cluster.refusal("nowhere"), /^0\/3 nodes are available: 3 no licence\./);
  });

  it("does not let an extender that hangs hold up other pods", async () => {
    for (let i = 0; i < 100; i++) await cluster.addPod(`hang-${i}`, licensed());
    const start = performance.now();
    await cluster.addPod("in-a-hurry");
    await cluster.bound("in-a-hurry");
    assert.ok(performance.now() - start < 3_500, "though a hundred pods wait for the extender");
    assert.match(await cluster.refusal("hang-0"), /did not answer within 4000 ms/);
  });
});

describe("extenders over TLS", () => {
  const base64 = (pem: string) => Buffer.from(pem).toString("base64");

  it("are verified by their own CA and server name, and know the scheduler by its certificate", async () => {
    const period = { validityDays: 1, now: Date.now() };
    const ca = await createCa({ commonName: "extenders", ...period });
    const own = await issueCertificate(ca, {
      commonName: "x",
      usages: ["server"],
      dnsNames: ["extender.test"],
      ...period,
    });
    const ours = await issueCertificate(ca, { commonName: "scheduler", usages: ["client"], ...period });
    const server = createSecureServer({ ...own, ca: ca.cert, requestCert: true }, (_request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({}));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const bind = async (tlsConfig: object) => {
      const urlPrefix = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { extenders } = parseSchedulerConfiguration({
        apiVersion: "kubescheduler.config.k8s.io/v1",
        kind: "KubeSchedulerConfiguration",
        extenders: [{ urlPrefix, bindVerb: "bind", enableHTTPS: true, tlsConfig }],
      });
      const pod = new PodInfo(stored(podDraft("p")));
      const asked = new HttpExtenders(extenders, { clock: new RealClock(), log: silentLogger });
      return asked.bind(pod, "n1", new AbortController().signal);
    };
    try {
      const complete = {
        serverName: "extender.test",
        caData: base64(ca.cert),
        certData: base64(ours.cert),
        keyData: base64(ours.key),
      };
      assert.equal(await bind(complete), true);
      await assert.rejects(bind({ ...complete, serverName: "another.test" }), /altnames/);
      await assert.rejects(bind({ serverName: "extender.test" }), /self-signed|unable to verify|certificate/);
      await assert.rejects(
        bind({ serverName: complete.serverName, caData: complete.caData }),
        /alert|hang up|reset|closed/i,
      );
      await assert.rejects(bind({ ...complete, insecure: true }), /insecure flag is not allowed/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
