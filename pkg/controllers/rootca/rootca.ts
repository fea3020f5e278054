/** Publishes the cluster's CA as ConfigMap kube-root-ca.crt in every namespace, and repairs what others do to it. */
import { isAlreadyExists, isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type Draft,
  type EventHandler,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { configMaps, namespaces } from "#pkg/api/refs.ts";
import type { ConfigMap, Namespace } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

const NAME = "kube-root-ca.crt";
const DESCRIPTION = "kubernetes.io/description";
const TEXT =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/** root-ca-certificate-publisher-controller; undefined without a CA to publish. */
export function createRootCaPublisher(env: ControllerEnv): Controller | undefined {
  const { clock, informers, options } = env;
  if (options.rootCa === "") return undefined;
  const queue = createQueue(clock);
  const add = (object: ConfigMap) => {
    if (object.metadata.name === NAME) queue.add(object.metadata.namespace ?? "");
  };
  const repair: EventHandler<ConfigMap> = { onUpdate: add, onDelete: add };
  const addNamespace = (namespace: Namespace) => queue.add(namespace.metadata.name);
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [
      watching(informers.of(configMaps), repair),
      watching(informers.of(namespaces), { onAdd: addNamespace, onUpdate: addNamespace }),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, { name }: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers, options } = env;
  const namespace = informers.of(namespaces).lister.get({ namespace: "", name });
  if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return DONE;
  const current = informers.of(configMaps).lister.get({ namespace: name, name: NAME });
  try {
    if (current === undefined) {
      const metadata = { name: NAME, namespace: name };
      const draft = { apiVersion: "v1", kind: "ConfigMap", ...published({ metadata }, options.rootCa) };
      await client.create(configMaps, draft, { signal });
    } else if (!isRight(current, options.rootCa))
      await client.update(configMaps, published(current, options.rootCa), { signal });
  } catch (error) {
    // Already there: the cache is about to show it, and will bring us back if it is wrong.
    if (isAlreadyExists(error) || isNotFound(error) || isNamespaceTerminating(error)) return DONE;
    throw error;
  }
  return DONE;
}

/** The map as it should be: nothing but the certificates, with what others noted about it left in place. Pure. */
export function published<T extends Draft<ConfigMap>>(current: T, rootCa: string): T {
  const annotations = { ...current.metadata.annotations, [DESCRIPTION]: TEXT };
  return { ...current, metadata: { ...current.metadata, annotations }, data: { "ca.crt": rootCa } };
}

/** Is there nothing to repair? A description of somebody's own is left alone. Pure. */
export function isRight(current: ConfigMap, rootCa: string): boolean {
  const data = current.data ?? {};
  return (
    data["ca.crt"] === rootCa &&
    Object.keys(data).length === 1 &&
    current.metadata.annotations?.[DESCRIPTION] !== undefined &&
    current.metadata.annotations[DESCRIPTION] !== ""
  );
}
