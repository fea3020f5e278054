import { isAbsolute, normalize } from "node:path";
import { goQuote } from "#pkg/apimachinery/index.ts";
import type { FlagValues } from "#pkg/config/index.ts";
import type { nodeFlags } from "./flags.ts";

type Flags = FlagValues<typeof nodeFlags>;

const isPort = (value: number) => between(value, 1, 65_535);
const between = (value: number, least: number, most: number) => value >= least && value <= most;

/** As a path is written when nothing can be left out of it. */
const isClean = (path: string) => path === "/" || (normalize(path) === path && !path.endsWith("/"));

/** What a kubelet does not start with: the complaint, and when it is made. */
const COMPLAINTS: readonly ((flags: Flags) => string | false)[] = [
  (flags) => flags["node-lease-duration-seconds"] <= 0 && "nodeLeaseDurationSeconds must be greater than 0",
  ({ "healthz-port": port }) =>
    port !== 0 && !isPort(port) && `healthzPort (--healthz-port) ${port} must be between 1 and 65535, inclusive`,
  ({ "image-gc-high-threshold": high }) =>
    !between(high, 0, 100) &&
    `imageGCHighThresholdPercent (--image-gc-high-threshold) ${high} must be between 0 and 100, inclusive`,
  ({ "image-gc-low-threshold": low }) =>
    !between(low, 0, 100) &&
    `imageGCLowThresholdPercent (--image-gc-low-threshold) ${low} must be between 0 and 100, inclusive`,
  ({ "image-gc-low-threshold": low, "image-gc-high-threshold": high }) =>
    low >= high &&
    `imageGCLowThresholdPercent (--image-gc-low-threshold) ${low} must be less than ` +
      `imageGCHighThresholdPercent (--image-gc-high-threshold) ${high}`,
  ({ "node-status-max-images": images }) =>
    images < -1 && `nodeStatusMaxImages (--node-status-max-images) ${images} must be -1 or greater`,
  ({ "max-pods": pods }) => pods < 0 && `maxPods (--max-pods) ${pods} must not be a negative number`,
  ({ port }) => !isPort(port) && `port (--port) ${port} must be between 1 and 65535, inclusive`,
  ({ "container-log-max-files": files }) => files <= 1 && `containerLogMaxFiles ${files} must be greater than 1`,
  ({ "max-parallel-image-pulls": pulls }) => pulls < 0 && `maxParallelImagePulls ${pulls} must be a positive number`,
  (flags) =>
    flags["serialize-image-pulls"] &&
    flags["max-parallel-image-pulls"] > 1 &&
    "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false",
  ({ "crash-loop-max-period": ms }) =>
    !between(ms, 1000, 300_000) &&
    `CrashLoopBackOff.MaxContainerRestartPeriod (got: ${ms / 1000} seconds) must be set between 1s and 300s`,
  (flags) => flags["container-runtime-endpoint"] === "" && "the containerRuntimeEndpoint was not specified or empty",
  ({ "pod-logs-dir": path }) => path === "" && "podLogsDir was not specified",
  ({ "pod-logs-dir": path }) => !isAbsolute(path) && `pod logs path ${goQuote(path)} must be absolute path`,
  ({ "pod-logs-dir": path }) => !isClean(path) && `pod logs path ${goQuote(path)} must be normalized`,
];

/** Everything that is wrong with the kubelet's flags, as upstream's kubelet says it. */
export function kubeletComplaints(flags: Flags): string[] {
  return COMPLAINTS.map((complaint) => complaint(flags))
    .filter((text) => text !== false)
    .map((text) => `invalid configuration: ${text}`);
}
