import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { useCluster, within } from "../framework/lab.ts";
import { NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("streams");
const limit = within(90_000);
let opened: Api | undefined;
const server = async (): Promise<Api> => (opened ??= await new Api(context.cluster).ready());
after(() => opened?.close());

const pathOf = (name: string, rest: string) => `/api/v1/namespaces/${context.cluster.namespace}/pods/${name}/${rest}`;

/** What came on a channel, joined. */
function onChannel(messages: readonly Buffer[], channel: number): string {
  return messages.flatMap((message) => (message[0] === channel ? [message.toString("utf8", 1)] : [])).join("");
}

test("a command over WebSocket, in the protocols of old and new clients", limit, async () => {
  const { cluster } = context;
  const api = await server();
  await cluster.apply(pod("commanded"));
  await cluster.ready("pod/commanded");
  const run = (protocol: string, ...words: string[]) => {
    const command = words.map((word) => `command=${encodeURIComponent(word)}`).join("&");
    return api.messages(pathOf("commanded", `exec?stdout=True&stderr=1&stdin=False&${command}`), protocol);
  };
  for (const protocol of ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"])
    assert.equal(onChannel(await run(protocol, "echo", "remote"), 1), "remote\n", protocol);
  const text = (await run("base64.channel.k8s.io", "echo", "remote")).map(String);
  assert.ok(text.includes(`1${Buffer.from("remote\n").toString("base64")}`), text.join(" "));
  const failed = JSON.parse(onChannel(await run("v5.channel.k8s.io", "sh", "-c", "exit 3"), 3)) as object;
  assert.partialDeepStrictEqual(failed, {
    status: "Failure",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "3" }] },
  });
  const long = "x".repeat(100_000);
  assert.equal(onChannel(await run("v5.channel.k8s.io", "echo", long), 1), `${long}\n`);
  const refused = await api.ask(pathOf("commanded", "exec?command=true"));
  assert.equal(refused.status, 400);
});

test("a log over WebSocket, as bytes and as base64", limit, async () => {
  const { cluster } = context;
  const api = await server();
  await cluster.apply(pod("speaker", { command: ["sh", "-c", "echo alive; sleep 600"] }));
  await cluster.ready("pod/speaker");
  const read = async (protocol: string) => Buffer.concat(await api.messages(pathOf("speaker", "log"), protocol));
  assert.equal((await read("binary.k8s.io")).toString(), "alive\n");
  assert.equal(Buffer.from((await read("base64.binary.k8s.io")).toString(), "base64").toString(), "alive\n");
  const followed = await api.messages(pathOf("speaker", "log?follow=True&previous=False"), "binary.k8s.io", {
    ended: (messages) => Buffer.concat(messages as Buffer[]).includes("alive\n"),
  });
  assert.ok(followed.length > 0);
  const wrong = await api.ask(pathOf("speaker", "log?stream=Stdout"));
  assert.equal(wrong.status, 422);
  assert.match(wrong.json.message ?? "", /stream: Forbidden: may not be specified/);
});

test("a port is forwarded over WebSocket to clients that do not speak SPDY", limit, async () => {
  const { cluster } = context;
  const api = await server();
  await cluster.apply(pod("listener", { image: NGINX }));
  await cluster.ready("pod/listener");
  const messages = await api.messages(pathOf("listener", "portforward?ports=80"), "v4.channel.k8s.io", {
    send: Buffer.concat([Buffer.from([0]), Buffer.from("GET / HTTP/1.0\r\n\r\n")]),
    ended: (all) => onChannel(all, 0).includes("</html>"),
  });
  // Each of the two channels begins with the port's number.
  assert.deepEqual(messages.filter((message) => message[0] === 1)[0], Buffer.from([1, 80, 0]));
  assert.match(onChannel(messages, 0), /^P\0HTTP\/1\.1 200 OK/);
});

test("the node's own logs, for those who may see them", limit, async () => {
  const { cluster } = context;
  const logs = (path: string, ...more: string[]) =>
    cluster.try(["get", "--raw", `/api/v1/nodes/node-1/proxy/logs/${path}`, ...more]);
  const listing = await logs("");
  assert.match(listing.stdout, /^<!doctype html>[^]*<pre>\n(<a href="[^"]+">[^<]+<\/a>\n)+<\/pre>\n$/, listing.stderr);
  assert.match((await logs("no-such-log")).stderr, /404 page not found|NotFound/);
  const refused = await logs("", "--as=system:serviceaccount:default:default");
  assert.match(refused.stderr, /cannot get resource "nodes\/proxy"/);
});

test("who comes to a node itself is asked who he is, and what he may", limit, async () => {
  const { cluster } = context;
  const { status } = await cluster.get<{ status: { addresses: { type: string; address: string }[] } }>(
    "node",
    "node-1",
  );
  const { address } = status.addresses.find(({ type }) => type === "InternalIP")!;
  const { stdout: token } = await cluster.try(["create", "token", "default"]);
  const ask = async (path: string, ...headers: string[]) => {
    const more = headers.flatMap((header) => ["-H", header]);
    const url = `https://${address}:10250${path}`;
    return (await cluster.here("curl", ["-sSk", "-m", "30", "-w", "\n%{http_code}", ...more, url])).stdout;
  };
  const bearer = `Authorization: Bearer ${token.trim()}`;
  for (const path of ["/pods", "/metrics", "/exec/default/x/c", "/no-such-path"]) {
    assert.equal(await ask(path), "Unauthorized\n401", path);
    assert.equal(await ask(path, "Authorization: Bearer x.y.z"), "Unauthorized\n401", path);
  }
  const user = `system:serviceaccount:${cluster.namespace}:default`;
  const forbidden = (verb: string, subresources: string) =>
    `Forbidden (user=${user}, verb=${verb}, resource=nodes, subresource(s)=[${subresources}])\n403`;
  assert.equal(await ask("/pods", bearer), forbidden("get", "pods proxy"));
  assert.equal(await ask("/metrics/cadvisor", bearer), forbidden("get", "metrics"));
  assert.equal(await ask("/exec/default/x/c", bearer), forbidden("get", "proxy"));
});
