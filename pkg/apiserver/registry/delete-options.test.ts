import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "../testing/test-server.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";

test("options of a deletion that are wrong, in body or query, are refused in upstream's words", async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  await server.request("/api/v1/namespaces", { body: { metadata: { name: "default" } } });
  await server.request(MAPS, { body: { metadata: { name: "kept" } } });
  const say = async (query: string, body?: string, type = "application/json"): Promise<string> => {
    const headers: Record<string, string> = body === undefined ? {} : { "content-type": type };
    const { status, json } = await server.request(`${MAPS}/kept${query}`, { method: "DELETE", body, headers });
    return `${status} ${String(json["message"])}`;
  };
  const both = "orphanDependents and deletionPropagation cannot be both set";
  const policies = 'supported values: "Foreground", "Background", "Orphan", "nil"';
  const invalid = '422 DeleteOptions.meta.k8s.io "" is invalid:';
  const ofQuery: [query: string, answer: string][] = [
    ["?gracePeriodSeconds=", '400 strconv.ParseInt: parsing "": invalid syntax'],
    ["?propagationPolicy=", `${invalid} propagationPolicy: Unsupported value: "": ${policies}`],
    [
      "?orphanDependents=&propagationPolicy=x&dryRun=",
      `${invalid} [propagationPolicy: Invalid value: "x": ${both}, propagationPolicy: Unsupported value: "x": ${policies}, dryRun: Unsupported value: [""]: supported values: "All"]`,
    ],
  ];
  for (const [query, answer] of ofQuery) assert.equal(await say(query), answer, query);
  assert.match(await say("?uid=x"), /^409 .* on ConfigMap "kept": the UID in the precondition \(x\) does not match/);
  const scheme = 'in scheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"';
  const noType = "400 couldn't get version/kind; json parse error:";
  const ofBody: [body: string, answer: string][] = [
    ["{", `${noType} unexpected end of JSON input`],
    ['{"kind":1}', `${noType} json: cannot unmarshal number into Go struct field .kind of type string`],
    ['{"apiVersion":"x/y/z"}', "400 unexpected GroupVersion string: x/y/z"],
    ['{"kind":"Pod","apiVersion":"v1"}', `400 no kind "Pod" is registered for version "v1" ${scheme}`],
    ['{"kind":"Status"}', "400 converting (v1.Status) to (v1.DeleteOptions): unknown conversion"],
    [
      '{"orphanDependents":"x"}',
      "400 json: cannot unmarshal string into Go struct field DeleteOptions.orphanDependents of type bool",
    ],
  ];
  for (const [body, answer] of ofBody) assert.equal(await say("", body), answer, body);
  assert.equal(await say("", "a: [", "application/yaml"), "400 yaml: line 1: did not find expected node content");
  const gone = await server.request(`${MAPS}/kept`, {
    method: "DELETE",
    body: '{"apiVersion":"apps/v1","kind":"DeleteOptions","gracePeriodSeconds":-1,"preconditions":null}',
  });
  assert.equal(gone.status, 200);
});
