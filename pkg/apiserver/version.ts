import type { NonResourceContext } from "./pipeline.ts";
import { noRepresentation } from "./http/negotiate.ts";
import { sendBytes } from "./http/reply.ts";
import { methodNotAllowed } from "./http/status.ts";

/** The answer of /version (k8s.io/apimachinery/pkg/version.Info). Major and minor are digits only. */
export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly emulationMajor: string;
  readonly emulationMinor: string;
  readonly minCompatibilityMajor: string;
  readonly minCompatibilityMinor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly platform: string;
}

export function versionInfo(overrides: Partial<VersionInfo> = {}): VersionInfo {
  return {
    major: "1",
    minor: "36",
    emulationMajor: "1",
    emulationMinor: "36",
    minCompatibilityMajor: "1",
    minCompatibilityMinor: "35",
    gitVersion: "v1.36.0+kubits",
    gitCommit: "0000000000000000000000000000000000000000",
    gitTreeState: "clean",
    buildDate: "2026-06-09T00:00:00Z",
    // Clients print it; there is no Go here.
    goVersion: "node26",
    compiler: "v8",
    platform: "linux/amd64",
    ...overrides,
  };
}

const SUITABLE: ReadonlySet<string> = new Set(["*/*", "application/*", "application/json"]);

/** @throws StatusError 405, 406 */
export function serveVersion(
  { target, request, response, negotiator }: NonResourceContext,
  version: VersionInfo,
): boolean {
  if (target.path !== "/version" && target.path !== "/version/") return false;
  if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed();
  const accept = request.headers["accept"] ?? "";
  const suits = accept === "" || negotiator.parse(accept).some(({ type }) => SUITABLE.has(type));
  if (!suits) throw noRepresentation(["application/json"]);
  const body = Buffer.from(JSON.stringify(version, undefined, 2));
  void sendBytes({ request, response, warnings: [], pretty: false }, 200, "json", body);
  return true;
}
