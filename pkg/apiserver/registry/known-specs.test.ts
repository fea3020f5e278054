import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { builtinResources } from "#pkg/api/index.ts";
import { isShared, type KubeObject } from "#pkg/apimachinery/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { KnownSpecs } from "./known-specs.ts";

const definition = builtinResources().find(({ group, plural }) => group === "" && plural === "pods")!;
const spec = { containers: [{ name: "c", image: "busybox", env: [{ name: "A", value: 'a "quoted" }{ brace' }] }] };
const pod = (name: string, more: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, annotations: { note: '"spec":{' } },
  spec,
  ...more,
});
const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

describe("KnownSpecs", () => {
  const known = new KnownSpecs(definition);
  const learn = () => {
    known.met(bytes(pod("one")));
    known.met(bytes(pod("two")));
  };

  test("knows a spec from its second time on, defaulted and shared", () => {
    const body = bytes({ kind: "Pod", spec });
    assert.equal(known.decode(body), undefined);
    known.met(body);
    assert.equal(known.decode(body), undefined);
    known.met(body);
    const first = known.decode(bytes({ kind: "Pod", spec, status: { phase: "x" } }))!;
    const second = known.decode(body)!;
    assert.equal(first["spec"], second["spec"]);
    assert.ok(isShared(first["spec"]));
    assert.deepEqual(Object.keys(first), ["kind", "spec", "status"]);
    const expected = { kind: "Pod", metadata: {}, spec: structuredClone(spec) } as KubeObject;
    definition.applyDefaults(expected);
    assert.deepEqual(first["spec"], expected["spec"]);
  });

  const text = JSON.stringify(spec);
  const others: readonly [what: string, body: string][] = [
    ["a spec inside of something else", `{"metadata":{"spec":${text}}}`],
    ["a spec in an annotation", JSON.stringify({ metadata: { annotations: { spec: `{"spec":${text}}` } } })],
    ["a spec in a list", `[{"spec":${text}}]`],
    ["two specs", `{"spec":${text},"spec":{}}`],
    ["two specs, the second one known", `{"spec":{},"spec":${text}}`],
    ["another repeated field", `{"kind":"a","spec":${text},"kind":"b"}`],
    ["text behind the spec", `{"spec":${text}x}`],
    ["a number behind the spec", `{"spec":${text}1}`],
    ["no end", `{"spec":${text}`],
    ["text behind the object", `{"spec":${text}}}`],
    ["a longer spec", `{"spec":${text.slice(0, -1)},"nodeName":"n"}}`],
    ["another spec", `{"spec":${text.replace("busybox", "busyboy")}}`],
    ["no spec", `{"kind":"Pod"}`],
    ["nothing", ""],
  ];
  for (const [what, body] of others) {
    test(`leaves ${what} to the decoder`, () => {
      learn();
      assert.equal(known.decode(bytes(body)), undefined);
    });
  }

  test("leaves a spec with something to report or to correct to the decoder, however often it comes", () => {
    for (const wrong of [
      { ...spec, nonsense: 1 },
      { ...spec, hostname: "" },
      { ...spec, overhead: { cpu: "0.1" } },
    ]) {
      const body = bytes({ kind: "Pod", spec: wrong });
      for (let n = 0; n < 3; n++) known.met(body);
      assert.equal(known.decode(body), undefined, body.toString());
    }
    const repeated = `{"spec":${text.replace('"image"', '"name":"c","image"')}}`;
    for (let n = 0; n < 3; n++) known.met(bytes(repeated));
    assert.equal(known.decode(bytes(repeated)), undefined);
    const around = bytes({ kind: "Pod", spec: { ...spec, hostname: "h" }, status: { conditions: [null] }, more: 1 });
    for (let n = 0; n < 2; n++) known.met(around);
    assert.notEqual(known.decode(around), undefined);
  });

  test("is not made to forget by specs that come once, and forgets the oldest of those that come again", () => {
    const few = new KnownSpecs(definition);
    const variant = (n: number, file: string) =>
      bytes({ spec: { containers: [{ name: file.repeat(100) }], activeDeadlineSeconds: n } });
    const know = (body: Buffer) => {
      for (let n = 0; n < 20 && few.decode(body) === undefined; n++) few.met(body);
    };
    know(variant(1, "a"));
    for (let n = 2; n < 1000; n++) few.met(variant(n, "a"));
    assert.notEqual(few.decode(variant(1, "a")), undefined);
    for (let n = 0; n < 100; n++) few.met(variant(2000, "a"));
    assert.notEqual(few.decode(variant(2000, "a")), undefined, "found again among many that are new");
    for (let n = 1; n < 1000; n++) know(variant(n, "b"));
    assert.notEqual(few.decode(variant(1, "a")), undefined);
    assert.notEqual(few.decode(variant(999, "b")), undefined);
    assert.equal(few.decode(variant(1, "b")), undefined);
    for (let n = 1; n < 1000; n++) know(bytes({ spec: { hostname: `h${n}`, containers: [{ name: "c" }] } }));
    assert.equal(few.decode(variant(1, "a")), undefined);
  });
});

describe("pods of one template", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());
  const pods = "/api/v1/namespaces/default/pods";
  const unlike = ({
    uid: _u,
    name: _n,
    resourceVersion: _r,
    creationTimestamp: _c,
    managedFields,
    ...rest
  }: KubeObject["metadata"]) => ({
    ...rest,
    managed: managedFields?.map(({ time: _t, ...entry }) => entry),
  });

  test("are the same, whether their spec was known or not, and stay independent", async () => {
    const answers: KubeObject[] = [];
    for (const name of ["p1", "p2", "p3", "p4"]) {
      const created = await server.request(pods, { body: pod(name) });
      assert.equal(created.status, 201, created.text);
      answers.push(created.json);
    }
    const stored = answers.map(
      ({ metadata }) =>
        server.cacher
          .resource({ prefix: "pods", namespaced: true, apiVersion: "v1", kind: "Pod" })
          .peek("default", metadata.name!)!.object,
    );
    assert.equal(stored[2]!["spec"], stored[3]!["spec"]);
    for (const answer of answers.slice(1)) {
      assert.deepEqual(
        [answer["spec"], answer["status"], unlike(answer.metadata)],
        [answers[0]!["spec"], answers[0]!["status"], unlike(answers[0]!.metadata)],
      );
    }
    const patched = await server.request(`${pods}/p3`, {
      method: "PATCH",
      headers: { "content-type": "application/strategic-merge-patch+json" },
      body: { spec: { containers: [{ name: "c", image: "busybox:2" }] } },
    });
    assert.equal(patched.status, 200, patched.text);
    const put = await server.request(`${pods}/p4`, {
      method: "PUT",
      body: { ...pod("p4"), spec: { ...spec, activeDeadlineSeconds: 9 } },
    });
    assert.equal(put.status, 200, put.text);
    const again = await server.request(`${pods}/p4`, { method: "PUT", body: pod("p4") });
    assert.equal(again.status, 422, again.text);
    const other = await server.request(`${pods}/p2`);
    assert.deepEqual(other.json["spec"], answers[1]!["spec"]);
    const fifth = await server.request(pods, { body: pod("p5") });
    assert.deepEqual(fifth.json["spec"], answers[0]!["spec"]);
  });

  test("are refused for what is wrong around a known spec", async () => {
    for (const name of ["q1", "q2"]) await server.request(pods, { body: pod(name) });
    const unknown = await server.request(`${pods}?fieldValidation=Strict`, { body: { ...pod("q3"), nonsense: 1 } });
    assert.match(unknown.text, /strict decoding error: unknown field \\"nonsense\\"/);
    const invalid = await server.request(pods, { body: pod("Not A Name") });
    assert.equal(invalid.status, 422);
    const repeated = JSON.stringify(pod("q4")).replace('"kind":"Pod"', '"kind":"Pod","kind":"Pod"');
    const strict = await server.request(`${pods}?fieldValidation=Strict`, { body: repeated });
    assert.match(strict.text, /duplicate field \\"kind\\"/);
  });
});
