/**
 * The scheduler: decides on which node each pod runs, and says so through the pod's binding.
 *
 * `createScheduler(deps)` is a Controller; `explain("namespace/name")` tells for every node why it was refused in the
 * last attempt. A profile's plugins are plain objects (`Plugin`): an out-of-tree plugin is one exported object, named
 * in `deps.plugins` and switched on by the configuration.
 *
 * `cluster-watch.ts` carries what the API tells into `cache/` (nodes and what they hold) and `queue/` (who waits, and for
 * what). `scheduler.ts` takes pods in order, `node-search.ts` filters and scores with `plugins/` by the rules of
 * `framework/`, `preemption/` looks for victims where nothing fits, `binding.ts` writes. `testing/reference.ts` says the
 * same in the plainest way, and random histories compare the two.
 */
export { createScheduler, type SchedulerDeps } from "./create.ts";
export {
  assertPluginsExist,
  DEFAULT_CONFIGURATION,
  parseSchedulerConfiguration,
  type SchedulerConfiguration,
} from "./config.ts";
export { describeConfiguration } from "./configz.ts";
export type { Explanation } from "./explain.ts";
export type { Plugin, ClusterEvent, Diagnosis, EventRegistration, PreFilterResult } from "./framework/types.ts";
export type { Status } from "./framework/status.ts";
export type { PluginFactory, PluginHandle } from "./plugins/registry.ts";
