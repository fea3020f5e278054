/**
 * Queries per second of the DNS server, beside those of a socket that sends each packet back unread:
 * `hack/node pkg/dns/server.bench.ts`. Clients run in a thread of their own.
 */
import { createSocket } from "node:dgram";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import dnsPacket from "dns-packet";
import { RealClock, SecureRandom, silentLogger } from "#pkg/util/index.ts";
import { Forwarder } from "./forwarder.ts";
import { DnsMetrics } from "./metrics.ts";
import { Resolver } from "./resolver.ts";
import { DnsServer } from "./server.ts";
import { service } from "./testing.ts";
import { ClusterZone } from "./zone.ts";

const SERVICES = 10_000;
const SECONDS = 4;
const IN_FLIGHT = 64;

async function serve(): Promise<void> {
  const zone = new ClusterZone("cluster.local");
  for (let index = 0; index < SERVICES; index++)
    zone.setService(service(`web-${index}`, { clusterIP: `10.96.${index >> 8}.${index & 255}` }));
  const forwarder = new Forwarder({ servers: [], stubDomains: {}, clock: new RealClock(), random: new SecureRandom() });
  const metrics = new DnsMetrics(forwarder);
  const resolver = new Resolver({ zone, forwarder, log: silentLogger, metrics });
  const packets = Array.from({ length: 1000 }, (_, index) => query(index));
  const rounds = 300;
  const begin = performance.now();
  for (let round = 0; round < rounds; round++) for (const packet of packets) resolver.answer(packet, false);
  const perSecond = (rounds * packets.length * 1000) / (performance.now() - begin);
  console.log(`resolver alone: ${Math.round(perSecond)} queries/s`);
  const server = new DnsServer(resolver, silentLogger);
  await measure("over UDP", await server.listen("127.0.0.1", 0));
  await server.close();
  const echo = createSocket("udp4");
  echo.on("message", (packet, from) => echo.send(packet, from.port, from.address));
  await new Promise<void>((resolve) => echo.bind(0, "127.0.0.1", resolve));
  await measure("bare echo", echo.address().port);
  echo.close();
}

async function measure(what: string, port: number): Promise<void> {
  const before = process.threadCpuUsage();
  const worker = new Worker(new URL(import.meta.url), { workerData: port });
  const answered = await new Promise<number>((resolve) => worker.once("message", resolve));
  const used = process.threadCpuUsage(before);
  const cpuSeconds = (used.user + used.system) / 1e6;
  console.log(
    `${what}: ${Math.round(answered / SECONDS)} queries/s, ${Math.round(answered / cpuSeconds)} per second of one core`,
  );
  await worker.terminate();
}

function query(index: number): Buffer {
  return dnsPacket.encode({
    type: "query",
    id: index & 0xffff,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name: `web-${index % SERVICES}.default.svc.cluster.local`, type: "A" }],
  });
}

function load(port: number): void {
  const packets = Array.from({ length: 1000 }, (_, index) => query(index * 7));
  let answered = 0;
  let next = 0;
  for (let index = 0; index < IN_FLIGHT; index++) {
    const socket = createSocket("udp4");
    const send = () => socket.send(packets[next++ % packets.length]!, port, "127.0.0.1");
    socket.on("message", () => {
      answered++;
      send();
    });
    send();
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window
  setTimeout(() => parentPort!.postMessage(answered), SECONDS * 1000);
}

if (isMainThread) await serve();
else load(workerData as number);
