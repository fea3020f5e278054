import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "../testing/test-server.ts";

const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const MAPS = "/api/v1/namespaces/default/configmaps";

test("bodies that do not decode are refused in the words of Go's decoders", async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const say = async (path: string, body: string | Buffer, type = "application/json"): Promise<string> => {
    const { status, json } = await server.request(path, { body, headers: { "content-type": type } });
    return `${status} ${String(json["message"])}`;
  };
  const deployment = (replicas: string): string => `{"metadata":{"name":"web"},"spec":{"replicas":${replicas}}}`;
  const handled = '400 Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal';
  // What is no integer as it is written is none, whatever its value.
  for (const literal of ["1.0", "1e3", "-0.0", "1e400", "9223372036854775808"]) {
    const answer = `${handled} number ${literal} into Go struct field DeploymentSpec.spec.replicas of type int32`;
    assert.equal(await say(DEPLOYMENTS, deployment(literal)), answer);
    // Neither numbers before it that nobody minds nor a repetition behind it hide it.
    const among = `{"other":[1.0,{"x":2e2}],"spec":{"replicas":${literal},"replicas":1}}`;
    assert.equal(await say(DEPLOYMENTS, among), answer);
  }
  assert.match(
    await say(`${DEPLOYMENTS}?fieldValidation=Ignore`, '{"other":[1.0,1e3],"metadata":{"name":"web"}}'),
    /^422/,
  );
  assert.match(await say(DEPLOYMENTS, '{"other":1e400}'), /value out of range$/);
  const scheme = 'in scheme "pkg/api/legacyscheme/scheme.go:30"';
  const unrecognized = "400 the object provided is unrecognized (must be of type ConfigMap):";
  const table: [body: string | Buffer, type: string, answer: string][] = [
    [
      '{"kind":"configmap","apiVersion":"v1"}',
      "application/json",
      `400 configmap in version "v1" cannot be handled as a ConfigMap: no kind "configmap" is registered for version "v1" ${scheme}`,
    ],
    [
      '{"kind":"Deployment","apiVersion":"apps/v1"}',
      "application/json",
      '400 Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion',
    ],
    [
      '{"kind":"ConfigMap","apiVersion":"a/b/c"}',
      "application/json",
      `${unrecognized} unexpected GroupVersion string: a/b/c ({"kind":"ConfigMap","apiVersio ...)`,
    ],
    ["k8s\0", "application/vnd.kubernetes.protobuf", `${unrecognized} empty body (6b387300)`],
    [
      Buffer.from("6b387300120100", "hex"),
      "application/vnd.kubernetes.protobuf",
      '400 ConfigMap in version "v1" cannot be handled as a ConfigMap: proto: ConfigMap: illegal tag 0 (wire type 0)',
    ],
    [
      "{}",
      "application/json;nonsense",
      "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    ],
  ];
  for (const [body, type, answer] of table) assert.equal(await say(MAPS, body, type), answer);
  const twice = await server.request(`${MAPS}?dryRun=All`, {
    body: "metadata: {name: a}\ndata: {a: b}\ndata: {a: c}\ndata: {a: d}\n",
    headers: { "content-type": "application/yaml" },
  });
  const warnings = [3, 4].map((line) => `299 - "line ${line}: key \\"data\\" already set in map"`);
  assert.deepEqual(String(twice.headers["warning"]).split(", "), warnings);
});
