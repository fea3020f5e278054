/** Notes in the status of ValidatingAdmissionPolicies which generation has been looked at. */
import { ignoreNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { validatingAdmissionPolicies } from "#pkg/api/refs.ts";
import type { ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { customKinds } from "./custom-kinds.ts";
import { typeCheck } from "./type-check.ts";

/** validatingadmissionpolicy-status-controller. */
export function createVapStatusController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [watching(informers.of(validatingAdmissionPolicies), enqueueSelf<ValidatingAdmissionPolicy>(queue))],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(
  { client, informers }: ControllerEnv,
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const policy = informers.of(validatingAdmissionPolicies).lister.get(key);
  const generation = policy?.metadata.generation ?? 0;
  if (policy === undefined || policy.status?.observedGeneration === generation) return DONE;
  const expressionWarnings = typeCheck(policy, await customKinds(client, policy, signal));
  const typeChecking = expressionWarnings.length === 0 ? {} : { expressionWarnings };
  const status = { ...policy.status, observedGeneration: generation, typeChecking };
  await ignoreNotFound(client.updateStatus(validatingAdmissionPolicies, { ...policy, status }, { signal }));
  return DONE;
}
