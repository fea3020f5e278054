import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { listen, unaryMethod } from "../testing/grpc.ts";
import { driverOfContainerd } from "./convert.ts";
import { GrpcRuntime } from "./grpc-runtime.ts";

const rpc = (name: string) => unaryMethod(`/runtime.v1.RuntimeService/${name}`);

/** A runtime that keeps its callers waiting until the test lets it answer with an empty message. */
const server = new grpc.Server();
let arrived: PromiseWithResolvers<{ answer: () => void; cancelled: () => boolean }>;
let directory: string;
let runtime: GrpcRuntime;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "cri-"));
  const wait = (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) =>
    arrived.resolve({ answer: () => answer(null, Buffer.alloc(0)), cancelled: () => call.cancelled });
  server.addService(
    { StartContainer: rpc("StartContainer"), ListContainers: rpc("ListContainers") },
    { StartContainer: wait, ListContainers: wait },
  );
  const address = `unix://${directory}/cri.sock`;
  await listen(server, address);
  runtime = new GrpcRuntime(address);
});
after(async () => {
  server.forceShutdown();
  await rm(directory, { recursive: true });
});

test("a start that nobody wants any more is let finish, a question is not", async () => {
  arrived = Promise.withResolvers();
  const abort = new AbortController();
  const start = runtime.startContainer("c", { signal: abort.signal });
  const starting = await arrived.promise;
  abort.abort();
  arrived = Promise.withResolvers();
  const other = new AbortController();
  const list = runtime.listContainers({}, { signal: other.signal });
  await arrived.promise;
  other.abort();
  await assert.rejects(list, { code: "Cancelled" });
  assert.equal(starting.cancelled(), false);
  starting.answer();
  await start;
});

test("the cgroup driver of a containerd that does not tell is in the configuration it shows", () => {
  const of = (options: object, name = "runc") =>
    driverOfContainerd(JSON.stringify({ containerd: { defaultRuntimeName: name, runtimes: { runc: { options } } } }));
  assert.deepEqual(
    [of({ SystemdCgroup: true }), of({ SystemdCgroup: false }), of({}), of({}, "other"), driverOfContainerd(undefined)],
    ["systemd", "cgroupfs", "cgroupfs", undefined, undefined],
  );
  assert.equal(driverOfContainerd("{}"), undefined, "the configuration of another runtime");
});
