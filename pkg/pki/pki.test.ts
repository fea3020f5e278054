import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import {
  createCa,
  createCertificateRequest,
  ensureClusterPki,
  generateEcKey,
  issueCertificate,
  issuedBy,
  type KeyPair,
  parseBundle,
  parseCertificateRequest,
  parsePeerCertificate,
  renderKubeconfig,
  signRequest,
  writeKubeconfig,
} from "./index.ts";

const now = Date.now();
let dir: string;
let ca: KeyPair;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "kubits-pki-"));
  ca = await createCa({ commonName: "kubernetes", validityDays: 3650, now });
});
after(() => rm(dir, { recursive: true }));

const derOf = (pem: string): Uint8Array => new X509Certificate(pem).raw;

describe("certificates", () => {
  test("a client certificate authenticates over real TLS and its subject is read from DER", async () => {
    const server = await issueCertificate(ca, {
      commonName: "kube-apiserver",
      usages: ["server"],
      dnsNames: ["kubernetes"],
      ips: ["127.0.0.1", "fd00::1"],
      validityDays: 1,
      now,
    });
    const client = await issueCertificate(ca, {
      commonName: "käthe, O=system:masters",
      organizations: ["dev", "ops+qa\nO=x"],
      usages: ["client"],
      validityDays: 1,
      now,
    });
    const seen = Promise.withResolvers<{ authorized: boolean; der: Uint8Array }>();
    const listener = createServer({ ...server, ca: ca.cert, requestCert: true }, (socket: TLSSocket) => {
      seen.resolve({ authorized: socket.authorized, der: socket.getPeerCertificate().raw });
      socket.end();
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const socket = connect({
      port: (listener.address() as AddressInfo).port,
      host: "127.0.0.1",
      ca: ca.cert,
      ...client,
      servername: "",
    });
    socket.resume();
    const { authorized, der } = await seen.promise;
    await new Promise((resolve) => socket.once("close", resolve));
    listener.close();
    assert.equal(authorized, true);
    const peer = parsePeerCertificate(der);
    assert.equal(peer.commonName, "käthe, O=system:masters");
    assert.deepEqual(peer.organizations, ["dev", "ops+qa\nO=x"]);
    assert.ok(Math.abs(peer.notAfter - (now + 86_400_000)) < 1000);
    assert.ok(peer.notBefore < now);
    assert.match(peer.fingerprint, /^[0-9a-f]{64}$/);
  });

  test("tells its own leaves from a namesake's", async () => {
    const impostor = await createCa({ commonName: "kubernetes", validityDays: 1, now });
    const options = { commonName: "x", usages: ["client"], validityDays: 1, now } as const;
    const mine = await issueCertificate(ca, options);
    const forged = await issueCertificate(impostor, options);
    const authorities = parseBundle(`${ca.cert}\n`);
    assert.equal(issuedBy(derOf(mine.cert), authorities), true);
    assert.equal(issuedBy(derOf(forged.cert), authorities), false);
    assert.equal(parseBundle(ca.cert + impostor.cert).length, 2);
  });

  test("carries a user's UID", async () => {
    const options = { commonName: "x", usages: ["client"], validityDays: 1, now } as const;
    const { cert } = await issueCertificate(ca, { ...options, uid: "1234" });
    assert.equal(parsePeerCertificate(derOf(cert)).uid, "1234");
    assert.equal(parsePeerCertificate(derOf((await issueCertificate(ca, options)).cert)).uid, undefined);
  });

  test("refuses garbage as a certificate", () => {
    for (const bytes of [
      new Uint8Array(),
      Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x30, 0x03, 0x30, 0x01, 0x00),
    ]) {
      assert.throws(() => parsePeerCertificate(bytes), RangeError);
    }
  });

  test("a leaf never outlives its authority", async () => {
    const short = await createCa({ commonName: "short", validityDays: 1, now });
    const leaf = await issueCertificate(short, {
      commonName: "x",
      usages: ["client"],
      validityDays: 100,
      now,
    });
    assert.equal(new X509Certificate(leaf.cert).validTo, new X509Certificate(short.cert).validTo);
  });
});

describe("certificate requests", () => {
  test("signing keeps subject and alternative names and sets usages and duration", async () => {
    const key = generateEcKey();
    const csr = await createCertificateRequest(key, {
      commonName: "system:node:n1",
      organizations: ["system:nodes"],
      dnsNames: ["n1"],
      ips: ["10.1.2.3"],
    });
    const parsed = await parseCertificateRequest(csr);
    assert.equal(parsed.commonName, "system:node:n1");
    assert.deepEqual(parsed.organizations, ["system:nodes"]);
    assert.deepEqual(parsed.dnsNames, ["n1"]);
    assert.deepEqual(parsed.ipAddresses, ["10.1.2.3"]);
    const pem = await signRequest(ca, csr, {
      usages: ["digital signature", "server auth"],
      durationSeconds: 3600,
      now,
    });
    const certificate = new X509Certificate(pem);
    assert.equal(certificate.checkHost("n1"), "n1");
    assert.equal(certificate.checkIP("10.1.2.3"), "10.1.2.3");
    assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
    assert.equal(certificate.checkPrivateKey(createPrivateKey(key)), true);
    assert.equal(Date.parse(certificate.validTo) - Date.parse(certificate.validFrom), 3_600_000);
  });

  test("refuses a tampered request and unknown usages", async () => {
    const csr = await createCertificateRequest(generateEcKey(), { commonName: "x" });
    const der = Buffer.from(csr.replace(/-----.*-----/g, ""), "base64");
    der[der.length - 5]! ^= 1;
    const bad = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    await assert.rejects(
      signRequest(ca, bad, { usages: ["client auth"], durationSeconds: 600, now }),
      /does not verify/,
    );
    await assert.rejects(
      signRequest(ca, csr, { usages: ["world domination"], durationSeconds: 600, now }),
      /unrecognized usage/,
    );
    await assert.rejects(parseCertificateRequest("hello"), /CERTIFICATE REQUEST/);
  });
});

describe("cluster PKI", () => {
  test("is complete, private, stable across starts, and follows new names", async () => {
    const options = { dir: join(dir, "pki"), apiserverSans: ["kubernetes", "127.0.0.1"], now };
    const first = await ensureClusterPki(options);
    for (const name of ["ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client"]) {
      assert.equal((await stat(join(options.dir, `${name}.key`))).mode & 0o777, 0o600);
      assert.match(await readFile(join(options.dir, `${name}.crt`), "utf8"), /^-----BEGIN CERTIFICATE/);
    }
    assert.equal((await stat(join(options.dir, "sa.key"))).mode & 0o777, 0o600);
    assert.deepEqual(await ensureClusterPki(options), first);

    const renamed = await ensureClusterPki({
      ...options,
      apiserverSans: [...options.apiserverSans, "10.0.0.9"],
    });
    assert.deepEqual(renamed.ca, first.ca);
    assert.notEqual(renamed.apiserver.cert, first.apiserver.cert);
    assert.equal(new X509Certificate(renamed.apiserver.cert).checkIP("10.0.0.9"), "10.0.0.9");

    const later = await ensureClusterPki({ ...options, now: now + 350 * 86_400_000 });
    assert.notEqual(later.frontProxyClient.cert, first.frontProxyClient.cert);
    assert.equal(later.serviceAccount.key, first.serviceAccount.key);
  });

  test("stops at a certificate whose key is gone", async () => {
    const broken = join(dir, "broken");
    await ensureClusterPki({ dir: broken, apiserverSans: [], now });
    await rm(join(broken, "ca.key"));
    await assert.rejects(ensureClusterPki({ dir: broken, apiserverSans: [], now }), /its key does not/);
  });

  test("writes a kubeconfig only its owner can read", async () => {
    const path = join(dir, "admin.conf");
    await writeFile(path, "old", { mode: 0o644 });
    await writeKubeconfig({
      path,
      server: "https://127.0.0.1:6443",
      ca: ca.cert,
      cert: ca.cert,
      key: ca.key,
      user: "admin",
    });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const text = await readFile(path, "utf8");
    assert.match(text, /current-context: "admin@kubernetes"/);
    assert.ok(text.includes(Buffer.from(ca.key).toString("base64")));
    assert.match(renderKubeconfig({ server: "x", ca: "y", token: 'a"b', user: "u" }), /token: "a\\"b"/);
  });
});
