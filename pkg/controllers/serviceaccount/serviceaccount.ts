/** Every namespace has the ServiceAccount "default". */
import { isAlreadyExists, isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { namespaces, serviceAccounts } from "#pkg/api/refs.ts";
import type { Namespace, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

const NAME = "default";

/** serviceaccount-controller: every active namespace has its default account. */
export function createServiceAccountController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addNamespace = (namespace: Namespace) => queue.add(namespace.metadata.name);
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [
      watching(informers.of(namespaces), { onAdd: addNamespace, onUpdate: addNamespace }),
      watching(informers.of(serviceAccounts), {
        onDelete(account) {
          if (account.metadata.name === NAME) queue.add(account.metadata.namespace ?? "");
        },
      }),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

/** Must the account be made? Not in a namespace on its way out, which would not take it. Pure. */
export function lacksAccount(namespace: Namespace | undefined, account: ServiceAccount | undefined): boolean {
  if (namespace === undefined || namespace.status?.phase === "Terminating") return false;
  return namespace.metadata.deletionTimestamp === undefined && account === undefined;
}

async function reconcile(env: ControllerEnv, { name }: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers } = env;
  const namespace = informers.of(namespaces).lister.get({ namespace: "", name });
  const account = informers.of(serviceAccounts).lister.get({ namespace: name, name: NAME });
  if (!lacksAccount(namespace, account)) return DONE;
  try {
    const metadata = { name: NAME, namespace: name };
    await client.create(serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata }, { signal });
  } catch (error) {
    if (isAlreadyExists(error) || isNotFound(error) || isNamespaceTerminating(error)) return DONE;
    throw error;
  }
  return DONE;
}
