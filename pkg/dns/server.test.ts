import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import dnsPacket from "dns-packet";
import { RealClock, SecureRandom, silentLogger } from "#pkg/util/index.ts";
import { Forwarder } from "./forwarder.ts";
import { rawQuestion } from "./message.ts";
import { DnsMetrics, statusServer } from "./metrics.ts";
import { Resolver } from "./resolver.ts";
import { DnsServer } from "./server.ts";
import { service, slice } from "./testing.ts";
import { ClusterZone } from "./zone.ts";

const HOST = "127.0.0.1";
const clock = new RealClock();

function udp(port: number, packet: Buffer, timeoutMs = 1000): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const finish = (reply?: Buffer) => {
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    const timer = setTimeout(finish, timeoutMs);
    socket.on("message", (reply) => finish(reply));
    socket.send(packet, port, HOST);
  });
}

function tcp(port: number, packets: readonly Buffer[]): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, HOST);
    let buffered: Buffer = Buffer.alloc(0);
    const replies: Buffer[] = [];
    socket.on("error", reject);
    socket.on("data", (data) => {
      buffered = Buffer.concat([buffered, data as Buffer]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        replies.push(buffered.subarray(2, 2 + buffered.readUInt16BE(0)));
        buffered = buffered.subarray(2 + buffered.readUInt16BE(0));
      }
      if (replies.length === packets.length) {
        socket.destroy();
        resolve(replies);
      }
    });
    for (const packet of packets) {
      const framed = Buffer.alloc(packet.length + 2);
      framed.writeUInt16BE(packet.length);
      packet.copy(framed, 2);
      // In two pieces, as a network may deliver it.
      socket.write(framed.subarray(0, 5));
      socket.write(framed.subarray(5));
    }
  });
}

const query = (name: string, type: string, options: { id?: number; edns?: number } = {}) =>
  dnsPacket.encode({
    type: "query",
    id: options.id ?? 7,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type: type as dnsPacket.RecordType }],
    additionals:
      options.edns === undefined
        ? []
        : [
            {
              type: "OPT",
              name: ".",
              udpPayloadSize: options.edns,
              flags: 0,
              options: [],
            } as unknown as dnsPacket.Answer,
          ],
  });

/** A name server of somebody else: answers A questions with 192.0.2.1, counts them, and can be told to misbehave. */
async function upstream() {
  const socket = createSocket("udp4");
  const state = { asked: 0, rcode: 0, mute: false, forge: false, large: false, ttl: 60 };
  socket.on("message", (packet, from) => {
    state.asked++;
    if (state.mute) return;
    const { id, questions = [] } = dnsPacket.decode(packet);
    const name = questions[0]!.name;
    const answers = Array.from({ length: state.large ? 60 : 1 }, (_, index) => ({
      type: "A" as const,
      name,
      ttl: state.ttl,
      data: `192.0.2.${index + 1}`,
    }));
    const reply = dnsPacket.encode({
      type: "response",
      id,
      flags: state.rcode,
      questions,
      answers: state.rcode === 0 ? answers : [],
    });
    if (state.forge) {
      const forged = dnsPacket.encode({
        type: "response",
        id,
        questions: [{ name: "evil.example", type: "A" }],
        answers: [],
      });
      socket.send(forged, from.port, from.address);
    }
    socket.send(reply, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, HOST, () => resolve()));
  return { state, address: `${HOST}:${socket.address().port}`, close: () => socket.close() };
}

describe("the DNS server over UDP and TCP", { timeout: 30_000 }, () => {
  const zone = new ClusterZone("cluster.local");
  let server: DnsServer;
  let port = 0;
  let outside: Awaited<ReturnType<typeof upstream>>;
  let stub: Awaited<ReturnType<typeof upstream>>;
  let metrics: DnsMetrics;

  before(async () => {
    outside = await upstream();
    stub = await upstream();
    const forwarder = new Forwarder({
      servers: [outside.address],
      stubDomains: { "corp.example": [stub.address] },
      clock,
      random: new SecureRandom(),
      timeoutMs: 300,
    });
    metrics = new DnsMetrics(forwarder);
    server = new DnsServer(new Resolver({ zone, forwarder, log: silentLogger, metrics }), silentLogger);
    port = await server.listen(HOST, 0);
    zone.setService(
      service("web", {
        clusterIP: "10.96.0.5",
        clusterIPs: ["10.96.0.5", "fd00::5"],
        ports: [{ name: "http", port: 80 }],
      }),
    );
    zone.setService(service("many", { clusterIP: "None", ports: [{ name: "http", port: 80 }] }));
    zone.setSlice(
      slice(
        "many",
        Array.from({ length: 80 }, (_, index) => ({ addresses: [`10.244.0.${index + 1}`], hostname: `many-${index}` })),
      ),
    );
    zone.setService(service("alias", { type: "ExternalName", externalName: "Docs.Example.org" }));
  });
  after(async () => {
    await server.close();
    outside.close();
    stub.close();
  });

  const ask = async (name: string, type: string, options: { edns?: number } = {}) => {
    const reply = await udp(port, query(name, type, options));
    assert.ok(reply !== undefined, "no reply");
    const { rcode, ...rest } = dnsPacket.decode(reply) as dnsPacket.DecodedPacket & { rcode: string };
    return { rcode, bytes: reply.length, ...rest };
  };
  const data = (answers: dnsPacket.Answer[] | undefined) =>
    answers?.map((answer) => ("data" in answer ? answer.data : undefined));

  test("A, AAAA and SRV with the addresses beside, both transports alike", async () => {
    assert.deepEqual(data((await ask("web.default.svc.cluster.local", "A")).answers), ["10.96.0.5"]);
    assert.deepEqual(data((await ask("web.default.svc.cluster.local", "AAAA")).answers), ["fd00::5"]);
    const srv = await ask("_http._tcp.web.default.svc.cluster.local", "SRV");
    assert.deepEqual(data(srv.answers), [
      { priority: 0, weight: 100, port: 80, target: "web.default.svc.cluster.local" },
    ]);
    assert.deepEqual(data(srv.additionals), ["10.96.0.5", "fd00::5"]);
    assert.equal(srv.flag_aa, true);
    const [first, second] = await tcp(port, [
      query("web.default.svc.cluster.local", "A", { id: 1 }),
      query("web.default.svc.cluster.local", "AAAA", { id: 2 }),
    ]);
    assert.deepEqual(data(dnsPacket.decode(first!).answers), ["10.96.0.5"]);
    assert.equal(dnsPacket.decode(second!).id, 2);
  });

  test("letters come back as they were asked, whatever their case", async () => {
    const { questions, answers } = await ask("WeB.DEFAULT.svc.cluster.LOCAL", "A");
    assert.equal(questions?.[0]?.name, "WeB.DEFAULT.svc.cluster.LOCAL");
    assert.deepEqual(data(answers), ["10.96.0.5"]);
  });

  test("compression: 25 addresses of a long name fit 512 bytes; more need TC and TCP, or EDNS0", async () => {
    const name = "many.default.svc.cluster.local";
    const cut = await ask(name, "A");
    assert.equal(cut.flag_tc, true);
    assert.equal(cut.answers?.length, 0);
    assert.ok(cut.bytes <= 512);
    const [whole] = await tcp(port, [query(name, "A")]);
    assert.equal(dnsPacket.decode(whole!).answers?.length, 80);
    zone.setSlice(
      slice(
        "many",
        Array.from({ length: 25 }, (_, index) => ({ addresses: [`10.244.0.${index + 1}`], hostname: `many-${index}` })),
      ),
    );
    assert.equal((await ask(name, "A")).answers?.length, 25);
    zone.setSlice(
      slice(
        "many",
        Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.244.0.${index + 1}`], hostname: `many-${index}` })),
      ),
    );
    const large = await ask(name, "A", { edns: 4096 });
    assert.equal(large.answers?.length, 60);
    assert.ok(large.bytes > 512 && large.bytes <= 1232);
    assert.deepEqual(
      large.additionals?.map(({ type }) => type),
      ["OPT"],
    );
  });

  test("negative answers carry the zone's SOA, and their kind is right", async () => {
    for (const [name, type, rcode] of [
      ["nothing.default.svc.cluster.local", "A", "NXDOMAIN"],
      ["web.default.svc.cluster.local", "MX", "NOERROR"],
      ["default.svc.cluster.local", "A", "NOERROR"],
    ] as const) {
      const reply = await ask(name, type);
      assert.equal(reply.rcode, rcode, name);
      assert.equal(reply.answers?.length, 0);
      assert.equal(reply.authorities?.[0]?.type, "SOA");
      assert.equal(reply.authorities?.[0]?.name, "cluster.local");
    }
  });

  test("the start of the zone is an answer to who asks for it", async () => {
    const reply = await ask("Cluster.Local", "SOA");
    assert.deepEqual([reply.rcode, reply.answers?.[0]?.type, reply.authorities?.length], ["NOERROR", "SOA", 0]);
    assert.equal((await ask("web.default.svc.cluster.local", "SOA")).answers?.length, 0);
  });

  test("a change is visible at once", async () => {
    zone.setService(service("late", { clusterIP: "10.96.0.9" }));
    assert.deepEqual(data((await ask("late.default.svc.cluster.local", "A")).answers), ["10.96.0.9"]);
    zone.deleteService(service("late", {}));
    assert.equal((await ask("late.default.svc.cluster.local", "A")).rcode, "NXDOMAIN");
  });

  test("names of others are forwarded, cached, and sent where stub domains say", async () => {
    const before = outside.state.asked;
    const { answers } = await ask("www.example.org", "A");
    assert.deepEqual(data(answers), ["192.0.2.1"]);
    await ask("WWW.example.org", "A");
    assert.equal(outside.state.asked, before + 1);
    assert.equal((await ask("WWW.Example.org", "A")).questions?.[0]?.name, "WWW.Example.org");
    await ask("host.corp.example", "A");
    await ask("notcorp.example", "A");
    assert.equal(stub.state.asked, 1);
    assert.equal(outside.state.asked, before + 2);
  });

  test("an ExternalName is an alias followed to its addresses", async () => {
    assert.deepEqual(data((await ask("alias.default.svc.cluster.local", "A")).answers), [
      "Docs.Example.org".toLowerCase(),
      "192.0.2.1",
    ]);
    assert.deepEqual(data((await ask("alias.default.svc.cluster.local", "CNAME")).answers), ["docs.example.org"]);
  });

  test("a dead upstream is SERVFAIL, a refusing one is passed on and not remembered", async () => {
    outside.state.mute = true;
    assert.equal((await ask("dead.example.org", "A")).rcode, "SERVFAIL");
    outside.state.mute = false;
    assert.equal((await ask("dead.example.org", "A")).rcode, "NOERROR");
    outside.state.rcode = 5;
    assert.equal((await ask("refused.example.org", "A")).rcode, "REFUSED");
    outside.state.rcode = 0;
    assert.equal((await ask("refused.example.org", "A")).rcode, "NOERROR");
  });

  test("a server that is not there is not waited for", async () => {
    const closed = createSocket("udp4").bind(0, HOST);
    await once(closed, "listening");
    const servers = [`${HOST}:${closed.address().port}`];
    closed.close();
    await once(closed, "close");
    const forwarder = new Forwarder({
      servers,
      stubDomains: {},
      clock,
      random: new SecureRandom(),
      timeoutMs: 600_000,
    });
    const asked = forwarder.resolve("gone.example.org", "A", rawQuestion("gone.example.org", "A"));
    await assert.rejects(asked, { code: "ECONNREFUSED" });
  });

  test("a forged reply to another question is not believed", async () => {
    outside.state.forge = true;
    assert.deepEqual(data((await ask("forged.example.org", "A")).answers), ["192.0.2.1"]);
    outside.state.forge = false;
  });

  test("a forwarded reply that is too large for the client is cut off", async () => {
    outside.state.large = true;
    assert.equal((await ask("large.example.org", "A")).flag_tc, true);
    outside.state.large = false;
  });

  test("hostile packets: responses and scraps get no answer, malformed ones FORMERR, and the server lives on", async () => {
    const header = (flags: number, questions = 1) => {
      const made = Buffer.alloc(12);
      made.writeUInt16BE(9, 0);
      made.writeUInt16BE(flags, 2);
      made.writeUInt16BE(questions, 4);
      return made;
    };
    const rcodeOf = async (packet: Buffer) => {
      const reply = await udp(port, packet, 200);
      return reply === undefined ? undefined : reply[3]! & 0xf;
    };
    const question = Buffer.from([3, 119, 101, 98, 0, 0, 1, 0, 1]);
    assert.equal(await rcodeOf(Buffer.concat([header(0x8000), question])), undefined, "a response");
    assert.equal(await rcodeOf(Buffer.from([1, 2, 3])), undefined, "a scrap");
    assert.equal(await rcodeOf(Buffer.alloc(0)), undefined, "nothing");
    assert.equal(
      await rcodeOf(Buffer.concat([header(0), Buffer.from([0xc0, 12, 0, 1, 0, 1])])),
      1,
      "a pointer to itself",
    );
    assert.equal(await rcodeOf(Buffer.concat([header(0), Buffer.from([63, 1, 2])])), 1, "a label beyond the end");
    assert.equal(await rcodeOf(Buffer.concat([header(0, 2), question])), 1, "two questions");
    assert.equal(await rcodeOf(Buffer.concat([header(0x2800), question])), 4, "an update");
    assert.equal(await rcodeOf(Buffer.concat([header(0), Buffer.alloc(400, 1), question])), 1, "a name of 400 bytes");
    const chaos = Buffer.from([3, 119, 101, 98, 0, 0, 1, 0, 3]);
    assert.equal(await rcodeOf(Buffer.concat([header(0), chaos])), 5, "class CHAOS");
    const missing = header(0);
    missing.writeUInt16BE(1, 10);
    assert.equal(await rcodeOf(Buffer.concat([missing, question])), 1, "a record that is not there");
    for (let round = 0; round < 300; round++) {
      const noise = Buffer.from(query("web.default.svc.cluster.local", "A", { edns: 1232 }));
      for (let flips = 0; flips < 6; flips++)
        noise[Math.floor(Math.random() * noise.length)] = Math.floor(Math.random() * 256);
      await udp(port, noise, 1);
    }
    assert.deepEqual(data((await ask("web.default.svc.cluster.local", "A")).answers), ["10.96.0.5"]);
  });

  test("health, readiness and metrics", async () => {
    let ready = false;
    const status = statusServer(metrics, () => ready);
    await new Promise<void>((resolve) => status.listen(0, HOST, resolve));
    const base = `http://${HOST}:${(status.address() as { port: number }).port}`;
    assert.equal((await fetch(`${base}/ready`)).status, 503);
    ready = true;
    assert.equal((await fetch(`${base}/ready`)).status, 200);
    assert.equal((await fetch(`${base}/health`)).status, 200);
    const text = await (await fetch(`${base}/metrics`)).text();
    assert.match(text, /coredns_dns_requests_total\{proto="tcp",type="A"\} [1-9]/);
    assert.match(text, /coredns_dns_responses_total\{rcode="NXDOMAIN"\} [1-9]/);
    assert.match(text, /coredns_cache_hits_total [1-9]/);
    status.close();
    status.closeAllConnections();
  });
});
