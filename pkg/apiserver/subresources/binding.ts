import type { Binding, Pod, PodCondition } from "#pkg/api/types/core-v1.ts";
import {
  badRequest,
  conflict,
  type FieldError,
  fieldNotSupported,
  fieldRequired,
  invalid,
  type KubeObject,
} from "#pkg/apimachinery/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import { withAdmission } from "../registry/admitted.ts";
import type { Call } from "../registry/call.ts";
import { fillNamespace } from "../registry/create.ts";
import type { InstalledResource } from "../registry/installed.ts";
import { updateStored } from "../registry/stored-update.ts";
import { failedPrecondition } from "../registry/update.ts";
import { readPosted, sendStatus } from "./respond.ts";

const KIND = { group: "", version: "v1", kind: "Binding" };

/** POST pods/NAME/binding and POST bindings: assigns a pod to a node. */
export async function serveBinding(call: Call): Promise<void> {
  const { target, services } = call;
  const pods = services.registry.lookup("", "v1", "pods")!;
  const { object, options } = await readPosted(call, KIND);
  const { name = "" } = object.metadata;
  if (target.name !== "" && name !== target.name) {
    throw badRequest("name in URL does not match name in Binding object");
  }
  fillNamespace(call, object);
  await withAdmission(
    call,
    { operation: "CREATE", name, object, oldObject: undefined, dryRun: options.dryRun, options },
    async (admitted) => {
      const binding = admitted as unknown as Binding;
      checkBinding(binding, name);
      if (name === "") throw badRequest("Name parameter required.");
      await assign(call, pods, binding, options.dryRun);
    },
  );
  await sendStatus(call, 201, { metadata: {}, status: "Success", code: 201 });
}

function checkBinding(binding: Binding, name: string): void {
  const errors: FieldError[] = [];
  const { kind, name: node } = binding.target ?? {};
  if (kind !== undefined && kind !== "" && kind !== "Node") {
    errors.push(fieldNotSupported("target.kind", kind, ["Node", "<empty>"]));
  }
  if (node === undefined || node === "") errors.push(fieldRequired("target.name"));
  if (errors.length > 0) throw invalid({ group: "", kind: "Binding" }, name, errors);
}

async function assign(call: Call, pods: InstalledResource, binding: Binding, dryRun: boolean): Promise<void> {
  const { name = "", namespace = "" } = binding.metadata ?? {};
  const subject = { group: "", resource: "pods/binding" };
  const change = (object: Readonly<KubeObject>): KubeObject => {
    const pod = object as unknown as Pod;
    const { uid, resourceVersion } = binding.metadata ?? {};
    if (uid !== undefined && uid !== "" && uid !== pod.metadata?.uid) {
      const why = `UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`;
      throw conflict(subject, name, failedPrecondition(pods, { namespace, name }, why));
    }
    if (resourceVersion !== undefined && resourceVersion !== "" && resourceVersion !== pod.metadata?.resourceVersion) {
      const why = `ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${pod.metadata?.resourceVersion}`;
      throw conflict(subject, name, failedPrecondition(pods, { namespace, name }, why));
    }
    if (pod.metadata?.deletionTimestamp !== undefined) {
      throw conflict(subject, name, `pod ${name} is being deleted, cannot be assigned to a host`);
    }
    if (pod.spec?.nodeName) {
      throw conflict(subject, name, `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
    }
    if ((pod.spec?.schedulingGates?.length ?? 0) > 0) {
      throw conflict(subject, name, `pod ${name} has non-empty .spec.schedulingGates`);
    }
    return bound(object, binding, call.now);
  };
  if (dryRun) {
    const entry = await pods.cache!.get(namespace, name);
    if (entry !== undefined) change(pods.object(entry));
    return;
  }
  await updateStored(pods, namespace, name, change);
}

function bound(object: Readonly<KubeObject>, binding: Binding, now: number): KubeObject {
  const pod = object as unknown as Pod;
  const annotations = { ...object.metadata.annotations, ...binding.metadata?.annotations };
  const labels = { ...object.metadata.labels, ...binding.metadata?.labels };
  return {
    ...object,
    metadata: {
      ...object.metadata,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
    spec: { ...pod.spec, nodeName: binding.target.name },
    status: {
      ...withoutNomination(pod.status),
      conditions: withCondition(pod.status?.conditions, {
        type: "PodScheduled",
        status: "True",
        observedGeneration: object.metadata.generation,
        lastProbeTime: null as unknown as string,
        lastTransitionTime: formatTime(now),
      }),
    },
  };
}

/** A nomination has served its purpose once the pod is bound. */
function withoutNomination(status: Pod["status"]): Pod["status"] {
  const { nominatedNodeName: _nominated, ...rest } = status ?? {};
  return rest;
}

/** The conditions with one added or replaced; the time of transition stays when the status does. */
export function withCondition(
  conditions: readonly PodCondition[] | undefined,
  condition: PodCondition,
): PodCondition[] {
  const present = conditions?.find(({ type }) => type === condition.type);
  if (present === undefined) return [...(conditions ?? []), condition];
  const same = present.status === condition.status;
  const merged = same ? { ...condition, lastTransitionTime: present.lastTransitionTime } : condition;
  return conditions!.map((each) => (each === present ? merged : each));
}
