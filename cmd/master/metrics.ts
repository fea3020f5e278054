import { Gauge, Registry, collectDefaultMetrics } from "prom-client";
import { versionInfo } from "#pkg/apiserver/index.ts";

/** Gives process_*, nodejs_* and kubernetes_build_info in Prometheus' text format; collected from the first scrape on. */
export function createProcessMetrics(): () => Promise<string> {
  let registry: Registry | undefined;
  return () => {
    if (registry === undefined) {
      registry = new Registry();
      collectDefaultMetrics({ register: registry });
      showBuild(registry);
    }
    return registry.metrics();
  };
}

function showBuild(registry: Registry): void {
  const { buildDate, compiler, gitCommit, gitTreeState, gitVersion, goVersion, major, minor, platform } = versionInfo();
  const labels = {
    build_date: buildDate,
    compiler,
    git_commit: gitCommit,
    git_tree_state: gitTreeState,
    git_version: gitVersion,
    go_version: goVersion,
    major,
    minor,
    platform,
  };
  new Gauge({
    name: "kubernetes_build_info",
    help: "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
    labelNames: Object.keys(labels),
    registers: [registry],
  }).set(labels, 1);
}
