/**
 * API priority and fairness: which requests go first when there are too many, and who has to come back later.
 *
 * What differs from kube-apiserver: levels lend and borrow seats at every request instead of every ten seconds; a queue's turn
 * counts seats, not seconds; lists are weighed by objects, not bytes; a 429 is a Status object, not plain text.
 *
 * Wiring (cmd/master):
 * ```ts
 * await bootstrapFlowControl(bootstrap); // beside bootstrapRbac
 * const flow = new FlowController({
 *   flowSchemas: source("flowcontrol.apiserver.k8s.io", "flowschemas"),
 *   priorityLevels: source("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"), clock,
 * });
 * createApiServer({ …, flowControl: (user, target, request) => flow.admit(user, target, request) });
 * ```
 */
export { FlowController, type FlowControlDeps } from "./controller.ts";
export { bootstrapFlowControl } from "./bootstrap.ts";
export type { FlowRequest } from "./classify.ts";
export type { Turn } from "./turn.ts";
