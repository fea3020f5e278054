import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "#pkg/config/index.ts";
import { nodeFlags } from "./flags.ts";
import { kubeletConfig } from "./kubelet-config.ts";

const start = (...argv: string[]) => kubeletConfig(parseFlags(nodeFlags, { argv }).values, "10.0.0.1");

const REFUSED: readonly [argv: readonly string[], message: string][] = [
  [
    ["--max-parallel-image-pulls=2"],
    "invalid configuration: maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false",
  ],
  [
    ["--max-parallel-image-pulls=-1", "--max-pods=-1"],
    "invalid configuration: maxPods (--max-pods) -1 must not be a negative number\n" +
      "invalid configuration: maxParallelImagePulls -1 must be a positive number",
  ],
  [
    ["--image-gc-high-threshold=80"],
    "invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 80 must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) 80",
  ],
  [["--container-log-max-files=1"], "invalid configuration: containerLogMaxFiles 1 must be greater than 1"],
  [["--node-lease-duration-seconds=0"], "invalid configuration: nodeLeaseDurationSeconds must be greater than 0"],
  [
    ["--healthz-port=70000", "--port=0", "--node-status-max-images=-2"],
    "invalid configuration: healthzPort (--healthz-port) 70000 must be between 1 and 65535, inclusive\n" +
      "invalid configuration: nodeStatusMaxImages (--node-status-max-images) -2 must be -1 or greater\n" +
      "invalid configuration: port (--port) 0 must be between 1 and 65535, inclusive",
  ],
  [
    ["--container-runtime-endpoint=", "--pod-logs-dir="],
    "invalid configuration: the containerRuntimeEndpoint was not specified or empty\n" +
      "invalid configuration: podLogsDir was not specified\n" +
      'invalid configuration: pod logs path "" must be absolute path\n' +
      'invalid configuration: pod logs path "" must be normalized',
  ],
  [["--pod-logs-dir=/var/log/../pods/"], 'invalid configuration: pod logs path "/var/log/../pods/" must be normalized'],
];
for (const [argv, message] of REFUSED)
  test(`a kubelet does not start with ${argv.join(" ")}`, () => {
    assert.throws(() => start(...argv), { name: "UsageError", message });
  });

test("pulls side by side are for kubelets that do not serialize them", () => {
  assert.equal(start("--max-parallel-image-pulls=3", "--serialize-image-pulls=false").maxParallelImagePulls, 3);
  assert.equal(start("--max-parallel-image-pulls=1").maxParallelImagePulls, 1);
});
