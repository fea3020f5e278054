import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, PodStatus } from "../../types/core-v1.ts";
import { normalizePodIps, validatePodStatusUpdate } from "./pod-status.ts";

const finished = { state: { terminated: { exitCode: 0 } } };
const running = { state: { running: {} } };

const pod = (status: object): Pod =>
  ({
    metadata: { name: "a" },
    spec: { restartPolicy: "Never", containers: [{ name: "c" }] },
    status,
  }) as unknown as Pod;

const rows: ReadonlyArray<readonly [name: string, before: object, after: object, errors: string[]]> = [
  [
    "conditions need qualified names",
    {},
    { conditions: [{ type: "Ready" }, { type: "a b" }] },
    [
      "metadata.conditions[1].Type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ],
  ],
  ["a nomination that stays is not checked", { nominatedNodeName: "A" }, { nominatedNodeName: "A" }, []],
  [
    "the class stays",
    { qosClass: "BestEffort" },
    { qosClass: "Burstable" },
    ['status.qosClass: Invalid value: "Burstable": field is immutable'],
  ],
  [
    "transitions are told by the place they had",
    {
      containerStatuses: [
        { name: "b", ...running },
        { name: "c", ...finished },
      ],
    },
    { containerStatuses: [{ name: "c", ...running }] },
    ["status.containerStatuses[1].state: Forbidden: may not be transitioned to non-terminated state"],
  ],
  [
    "ephemeral containers never restart",
    { ephemeralContainerStatuses: [{ name: "e", ...finished }] },
    { ephemeralContainerStatuses: [{ name: "e", ...running }] },
    ["status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"],
  ],
  ["two families", {}, { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] }, []],
  [
    "one family twice",
    {},
    { podIPs: [{ ip: "10.0.0.1" }, { ip: "10.0.0.1" }] },
    [
      `status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.1"}]: may specify no more than one IP for each IP family`,
      'status.podIPs[1]: Duplicate value: {"IP":"10.0.0.1"}',
    ],
  ],
  [
    "the first of the host's",
    {},
    { hostIP: "10.0.0.1", hostIPs: [{ ip: "10.0.0.2" }] },
    ['status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'],
  ],
];

for (const [name, before, after, errors] of rows) {
  test(name, () => {
    const found = validatePodStatusUpdate(pod(after), pod(before));
    assert.deepEqual(
      found.map(({ field, message }) => `${field}: ${message}`),
      errors,
    );
  });
}

test("podIP outranks podIPs", () => {
  const one: PodStatus = { podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.2" }, { ip: "fd00::1" }] };
  normalizePodIps(one);
  assert.deepEqual(one.podIPs, [{ ip: "10.0.0.1" }]);
  const listed: PodStatus = { podIPs: [{ ip: "10.0.0.2" }, { ip: "fd00::1" }] };
  normalizePodIps(listed);
  assert.equal(listed.podIP, "10.0.0.2");
});
