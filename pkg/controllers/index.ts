/**
 * The control loops of a cluster: one Controller per upstream controller, under its name. Level-triggered reconcilers over
 * shared informers; each decides in a pure plan and acts under its own service account. They know the API only.
 *
 * Wiring: `createControllers(deps)`, then `deps.informers.start(signal)`, then `controller.run(signal)` for each (after
 * leader election, if there is one).
 */
export { type ControllersDeps, createControllers } from "./create.ts";
export type { ControllerOptions } from "./common/options.ts";
export type { ControllerDeclaration } from "./list.ts";
