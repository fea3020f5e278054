import { join } from "node:path";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { FlagValues } from "#pkg/config/index.ts";
import { createDockerRuntime, GrpcRuntime, type Runtime } from "#pkg/kubelet/index.ts";
import type { Clock, CommandRunner, Logger } from "#pkg/util/index.ts";
import type { nodeFlags } from "./flags.ts";

const CNI_BIN_DIR = "/usr/lib/cni";

/** The container runtime that the flags name. */
export async function createRuntime(
  flags: FlagValues<typeof nodeFlags>,
  deps: { commands: CommandRunner; clock: Clock; log: Logger },
): Promise<Runtime> {
  if (flags["container-runtime"] === "cri") return new GrpcRuntime(flags["container-runtime-endpoint"]);
  return createDockerRuntime({
    socketPath: flags["docker-endpoint"].replace(/^unix:\/\//, ""),
    cniConfDir: flags["cni-conf-dir"],
    cniBinDir: CNI_BIN_DIR,
    stateDir: join(flags["root-dir"], "docker"),
    logRotation: {
      maxBytes: parseQuantity(flags["container-log-max-size"]).toNumber(),
      maxFiles: flags["container-log-max-files"],
    },
    ...deps,
  });
}
