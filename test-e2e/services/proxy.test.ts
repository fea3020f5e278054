import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { NETTOOLS, pod, service } from "../framework/manifests.ts";

const context = useCluster("proxy");
const PAGE = `echo '<a href="/next">on</a><a href="//elsewhere/">off</a>'`;
const ANSWER = "printf '#!/bin/sh\\necho Content-type: text/plain\\necho\\necho did $REQUEST_METHOD\\n'";

test("every method reaches pods and services through the API server", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const { namespace, lab } = cluster;
  // A CGI program ends its headers with bare line feeds, which clients and probes are expected to understand.
  const script = `mkdir -p /w/cgi-bin; ${ANSWER} > /w/cgi-bin/m; chmod +x /w/cgi-bin/m; ${PAGE} > /w/page.html; exec httpd -f -p 8080 -h /w`;
  const readinessProbe = { httpGet: { path: "/cgi-bin/m", port: 8080 }, periodSeconds: 1 };
  await cluster.apply([
    pod("web", {
      image: NETTOOLS,
      command: ["sh", "-c", script],
      container: { readinessProbe },
    }),
    service("web", { selector: { app: "web" }, ports: [{ name: "named", port: 80, targetPort: 8080 }] }),
  ]);
  await cluster.ready("pod/web");
  const token = (await cluster.kubectl(["create", "token", "default"])).trim();
  await cluster.kubectl([
    "create",
    "rolebinding",
    "proxy",
    "--clusterrole=cluster-admin",
    `--serviceaccount=${namespace}:default`,
  ]);
  const base = `${lab.server}/api/v1/namespaces/${namespace}`;
  const curl = async (path: string, ...options: string[]) => {
    const args = ["-sk", "-m", "10", "-H", `Authorization: Bearer ${token}`, "-w", " %{http_code}", ...options];
    return (await lab.run(lab.master, "curl", [...args, `${base}/${path}`])).stdout.replaceAll(/\s+/g, " ");
  };
  const ways = [
    "pods/web:8080",
    "pods/http:web:8080",
    "services/web:80",
    "services/web:named",
    "services/http:web:named",
  ];
  await eventually("the service has its endpoint", async () =>
    (await curl("services/web:80/proxy/cgi-bin/m")).endsWith("200") ? true : undefined,
  );
  for (const way of ways) {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
      assert.equal(await curl(`${way}/proxy/cgi-bin/m`, "-X", method), `did ${method} 200`, way);
    assert.match(await curl(`${way}/proxy/cgi-bin/m`, "-I"), /^HTTP\/2 200 /);
  }
  // Without its slash a page's relative links would lead elsewhere, so it is sent there.
  assert.match(
    await curl("services/web:80/proxy", "-i"),
    /location: \/api\/v1\/\S+\/services\/web:80\/proxy\/ .* 301$/,
  );
  for (const way of ways) {
    const page = `<a href="/api/v1/namespaces/${namespace}/${way}/proxy/next">on</a><a href="//elsewhere/">off</a>`;
    assert.equal(await curl(`${way}/proxy/page.html`), `${page} 200`);
    assert.match(await curl(`${way}/proxy/page.html`, "-I"), /^HTTP\/2 200 .*content-type: text\/html/);
  }
  const refused = await curl("services/web:99/proxy/");
  assert.match(refused, /"message":"no service port 99 found for service \\"web\\"".* 503$/);
});
