/** Empties namespaces that are being deleted, pods first and then the rest (content.ts), and lets them go. */
import { deepEqual, isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  type ReconcileContext,
  type Result,
  retryOnConflict,
} from "#pkg/client/index.ts";
import { namespaces } from "#pkg/api/refs.ts";
import type { Namespace, NamespaceStatus, Pod } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { type Findings, namespaceConditions } from "./conditions.ts";
import { deleteContent } from "./content.ts";

const FINALIZER = "kubernetes";
/** How long to wait for objects that others must finish; pods report their end themselves. */
const RECHECK_MS = 1000;
const RECHECK_PODS_MS = 5000;

/** Empties and removes namespaces that are being deleted. */
export function createNamespaceController(env: ControllerEnv): Controller {
  const { clock, discovery, informers } = env;
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 10,
    queue,
    sources: [
      watching(informers.of(namespaces), enqueueSelf<Namespace>(queue)),
      watching(informers.pods(), lastPodHandler(env, queue)),
      ...discovery.sources(informers),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

/** The end of the last pod lets the rest of the namespace go, at once. */
function lastPodHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Pod> {
  return {
    onDelete({ metadata }) {
      const name = metadata.namespace ?? "";
      const namespace = informers.of(namespaces).lister.get({ namespace: "", name });
      if (namespace?.metadata.deletionTimestamp === undefined) return;
      if (informers.pods().lister.list(name).length === 0) queue.add(name);
    },
  };
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, clock, discovery, informers } = env;
  const cached = informers.of(namespaces).lister.get(key);
  if (cached?.metadata.deletionTimestamp === undefined) return DONE;
  try {
    const terminating = await updateStatus(env, cached, (status) => ({ ...status, phase: "Terminating" }), signal);
    if (!(terminating.spec.finalizers ?? []).includes(FINALIZER)) return DONE; // others still have to finish
    const findings = await deleteContent(client, key.name, await discovery.get(signal), signal);
    const current = await updateStatus(
      env,
      terminating,
      (status) => ({ ...status, conditions: namespaceConditions(status.conditions, findings, clock.now()) }),
      signal,
    );
    if (isClean(findings)) {
      await finalize(env, current, signal);
      return DONE;
    }
    if (findings.undiscovered.size > 0 || findings.failures.length > 0) {
      discovery.invalidate();
      throw new Error(`cannot empty namespace ${key.name} yet: ${describe(findings)}`);
    }
    return { requeueAfterMs: findings.remaining.has("pods.") ? RECHECK_PODS_MS : RECHECK_MS };
  } catch (error) {
    if (isNotFound(error)) return DONE;
    throw error;
  }
}

function isClean({ undiscovered, failures, remaining }: Findings): boolean {
  return undiscovered.size === 0 && failures.length === 0 && remaining.size === 0;
}

function describe({ undiscovered, failures }: Findings): string {
  return [...[...undiscovered].map(([groupVersion, why]) => `${groupVersion}: ${why}`), ...failures].join("; ");
}

/** Writes the status only when `change` changes it; returns the namespace as it then is. */
async function updateStatus(
  { client, clock }: ControllerEnv,
  namespace: Namespace,
  change: (status: NamespaceStatus) => NamespaceStatus,
  signal: AbortSignal,
): Promise<Namespace> {
  let current = namespace;
  return retryOnConflict(clock, async () => {
    const status = change(current.status ?? {});
    if (deepEqual(status, current.status ?? {})) return current;
    try {
      return await client.updateStatus(namespaces, { ...current, status }, { signal });
    } catch (error) {
      current = await client.get(namespaces, { namespace: "", name: namespace.metadata.name }, { signal });
      throw error;
    }
  });
}

async function finalize({ client, clock }: ControllerEnv, namespace: Namespace, signal: AbortSignal): Promise<void> {
  const key = { namespace: "", name: namespace.metadata.name };
  let current = namespace;
  await retryOnConflict(clock, async () => {
    const finalizers = (current.spec.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
    const body = { ...current, apiVersion: "v1", kind: "Namespace", spec: { ...current.spec, finalizers } };
    try {
      await client.updateSubresource<Namespace, Namespace, Namespace>(namespaces, key, "finalize", body, { signal });
    } catch (error) {
      current = await client.get(namespaces, key, { signal });
      throw error;
    }
  });
}
