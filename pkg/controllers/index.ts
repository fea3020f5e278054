/**
 * The control loops of a cluster: one Controller per upstream controller, under its name. Level-triggered reconcilers over
 * shared informers; each decides in a pure plan and acts under its own service account. They know the API only.
 *
 * Wiring: `createControllers(deps)`, then `deps.informers.start(signal)`, then `controller.run(signal)` for each (after
 * leader election, if there is one).
 *
 * A folder per controller, mostly of two files: `plan.ts` decides (pure), the one named as the folder reads and writes.
 * `common/` has what they share: the loop around a reconciler, pods that are made and adopted, history, conditions.
 * `simulation/` runs all of them in one process under one clock and a seed, with the real API server and faults.
 * `list.ts` names them all.
 */
export { type ControllersDeps, createControllers } from "./create.ts";
export type { ControllerOptions } from "./common/options.ts";
export type { ControllerDeclaration } from "./list.ts";
