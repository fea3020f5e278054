import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { SpawnRunner } from "#pkg/util/index.ts";
import { collect } from "../contract-suite.ts";
import { EtcdProcess } from "./etcd-process.ts";
import { EtcdStore } from "./etcd-store.ts";

it("talks to etcd over mutual TLS, and only with the right authority", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-etcd-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const at = (file: string) => join(directory, file);
  const openssl = (...args: string[]) => new SpawnRunner().run("openssl", args);
  const authority = (name: string) =>
    openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      at(`${name}.key`),
      "-out",
      at(`${name}.crt`),
    );
  await authority("ca");
  await authority("stranger");
  writeFileSync(at("extensions"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  await openssl(
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-subj",
    "/CN=etcd",
    "-keyout",
    at("etcd.key"),
    "-out",
    at("etcd.csr"),
  );
  await openssl(
    "x509",
    "-req",
    "-in",
    at("etcd.csr"),
    "-CA",
    at("ca.crt"),
    "-CAkey",
    at("ca.key"),
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    at("extensions"),
    "-out",
    at("etcd.crt"),
  );
  const etcd = await EtcdProcess.start({ ca: at("ca.crt"), cert: at("etcd.crt"), key: at("etcd.key") });
  t.after(() => etcd.stop());

  const read = (file: string) => readFileSync(at(file));
  const identity = { cert: read("etcd.crt"), key: read("etcd.key") };
  const store = new EtcdStore({ endpoints: [etcd.endpoint], tls: { ca: read("ca.crt"), ...identity } });
  t.after(() => store.close());
  const { revision } = await store.write({ key: "/registry/a", value: Buffer.from("1") });
  const seen = collect(store, "/registry/", revision - 1, t);
  await seen.until(() => seen.events().length === 1);

  // The certificate is for the address, not for this name of the same machine.
  const renamed = new EtcdStore({
    endpoints: [etcd.endpoint.replace("127.0.0.1", "localhost")],
    tls: { ca: read("ca.crt"), ...identity },
  });
  t.after(() => renamed.close());
  await assert.rejects(renamed.write({ key: "/registry/a", value: Buffer.from("2") }), /localhost/);
  const misled = new EtcdStore({ endpoints: [etcd.endpoint], tls: { ca: read("stranger.crt"), ...identity } });
  t.after(() => misled.close());
  await assert.rejects(misled.write({ key: "/registry/a", value: Buffer.from("2") }));
  const nobody = new EtcdStore({ endpoints: [etcd.endpoint], tls: { ca: read("ca.crt") } });
  t.after(() => nobody.close());
  await assert.rejects(nobody.write({ key: "/registry/a", value: Buffer.from("2") }));
  assert.equal(await store.currentRevision(), revision);
});
