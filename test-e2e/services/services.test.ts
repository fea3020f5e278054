import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, manifest, useCluster } from "../framework/lab.ts";
import { NETTOOLS, pod, service } from "../framework/manifests.ts";

const context = useCluster("services");

test("the demo's pod and NodePort service answer on every node", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  await cluster.kubectl(["apply", "-f", "-"], { stdin: manifest("hack/demo/nginx.yaml") });
  await cluster.ready("pod/nginx-demo");
  const podIp = await cluster.jsonpath("pod/nginx-demo", "{.status.podIP}");
  for (const node of cluster.lab.nodes) {
    for (const url of [`http://${node.address}:30390`, `http://${podIp}:80`]) {
      assert.match(
        await eventually(`${url} answers on ${node.name}`, () => cluster.curl(node, url)),
        /Welcome to nginx/,
      );
    }
  }
  await cluster.kubectl(["delete", "service/my-service", "pod/nginx-demo"]);
  await eventually("the node port is closed", async () => {
    const open = await cluster.curl(cluster.lab.master, `http://${cluster.lab.master.address}:30390`).then(
      () => true,
      () => false,
    );
    return open ? undefined : true;
  });
});

test("a ClusterIP spreads TCP over pods on both nodes, from nodes and from pods", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const answer = (name: string) => `mkdir /www; echo ${name} > /www/index.html; exec httpd -f -p 8080 -h /www`;
  const backends = cluster.lab.nodes.map((node, index) =>
    pod(`backend-${index}`, {
      command: ["sh", "-c", answer(`backend-${index}`)],
      labels: { app: "backend" },
      spec: { nodeName: node.name },
    }),
  );
  await cluster.apply([
    ...backends,
    pod("client"),
    service("backend", { selector: { app: "backend" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] }),
  ]);
  for (const name of ["backend-0", "backend-1", "client"]) await cluster.ready(`pod/${name}`);
  const ip = await cluster.jsonpath("service/backend", "{.spec.clusterIP}");
  const seen = new Set<string>();
  await eventually("both backends answer a node", async () => {
    seen.add((await cluster.curl(cluster.lab.master, `http://${ip}`)).trim());
    return seen.size === 2 ? true : undefined;
  });
  const fromPod = new Set<string>();
  await eventually("both backends answer a pod", async () => {
    fromPod.add((await cluster.exec("client", "timeout", "5", "wget", "-qO-", `http://${ip}`)).trim());
    return fromPod.size === 2 ? true : undefined;
  });
  // Hairpin: a backend reaches itself through its own service.
  await cluster.kubectl(["delete", "pod", "backend-1"]);
  await eventually("the pod reaches itself", async () =>
    (await cluster.exec("backend-0", "timeout", "5", "wget", "-qO-", `http://${ip}`)).trim() === "backend-0"
      ? true
      : undefined,
  );
});

test("UDP reaches its backend, and a new backend after the old one is gone", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const echo = (name: string) =>
    pod(name, {
      image: NETTOOLS,
      command: ["socat", "-T", "2", "UDP-RECVFROM:5353,fork", `SYSTEM:echo ${name}`],
      labels: { app: "udp" },
    });
  await cluster.apply([
    echo("udp-one"),
    pod("udp-client", { image: NETTOOLS, command: ["sleep", "3600"] }),
    service("udp", { selector: { app: "udp" }, ports: [{ name: "dns", protocol: "UDP", port: 53, targetPort: 5353 }] }),
  ]);
  await cluster.ready("pod/udp-one");
  await cluster.ready("pod/udp-client");
  const ip = await cluster.jsonpath("service/udp", "{.spec.clusterIP}");
  const ask = async () => (await cluster.exec("udp-client", "sh", "-c", `echo hi | socat -T 1 - UDP:${ip}:53`)).trim();
  await eventually("the first backend answers", async () => ((await ask()) === "udp-one" ? true : undefined));
  await cluster.apply(echo("udp-two"));
  await cluster.ready("pod/udp-two");
  await cluster.kubectl(["delete", "pod", "udp-one"]);
  await eventually("the second backend answers", async () => ((await ask()) === "udp-two" ? true : undefined));
});

test("a service without endpoints refuses at once", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  await cluster.apply(service("nobody", { selector: { app: "nobody" }, ports: [{ port: 80 }] }));
  const ip = await cluster.jsonpath("service/nobody", "{.spec.clusterIP}");
  // curl's exit code 7 is a refused connection; 28 would be a time-out.
  await eventually("connection refused", async () => {
    const curl = ["-sS", "--max-time", "2", `http://${ip}`];
    const { exitCode } = await cluster.lab.run(cluster.lab.master, "curl", curl, { allowFailure: true });
    return exitCode === 7 ? true : undefined;
  });
});

test("a taken or invalid node port is refused and nothing is stored", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  const nodePort = (name: string, port: number) => ({
    ...service(name, { selector: { app: "x" }, ports: [{ port: 80, nodePort: port }], spec: { type: "NodePort" } }),
  });
  await cluster.apply(nodePort("first", 30555));
  const refused = await cluster.try(["create", "-f", "-"], { stdin: JSON.stringify(nodePort("second", 30555)) });
  assert.equal(refused.exitCode, 1);
  assert.match(
    refused.stderr,
    /The Service "second" is invalid: spec\.ports\[0\]\.nodePort: Invalid value: 30555: provided port is already allocated/,
  );
  const outside = await cluster.try(["create", "-f", "-"], { stdin: JSON.stringify(nodePort("third", 99)) });
  assert.match(
    outside.stderr,
    /spec\.ports\[0\]\.nodePort: Invalid value: 99: provided port is not in the valid range/,
  );
  assert.equal((await cluster.kubectl(["get", "services", "-o", "name"])).includes("second"), false);
});
