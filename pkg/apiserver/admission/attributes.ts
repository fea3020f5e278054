import type { StatusCause } from "#pkg/api/types/meta-v1.ts";
import type { Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { changed, deepCopy, isShared, StatusError } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../contract.ts";

type Operation = AdmissionAttributes["operation"];

/** Is this one of `operations` on the resource (group "" is core) itself, not on a subresource? */
export function isOn(
  attributes: AdmissionAttributes,
  group: string,
  plural: string,
  ...operations: Operation[]
): boolean {
  const { resource, operation, subresource } = attributes;
  return resource.plural === plural && resource.group === group && subresource === "" && operations.includes(operation);
}

/** Name for messages: generateName stands in until the name is made. */
function shownName({ name, object }: AdmissionAttributes): string {
  if (name !== "") return name;
  return object?.metadata?.name ?? object?.metadata?.generateName ?? "Unknown";
}

/** The 403 of an admission plugin, worded as upstream words it. */
export function refusal(attributes: AdmissionAttributes, why: string, causes?: StatusCause[]): StatusError {
  return forbidden({ resource: attributes.resource, name: shownName(attributes) }, why, causes);
}

/** The same for what speaks of the name in the request only, which may have none. */
export function forbidden(
  { resource: { group, plural }, name }: Pick<AdmissionAttributes, "resource" | "name">,
  why: string,
  causes?: StatusCause[],
): StatusError {
  const qualified = group === "" ? plural : `${plural}.${group}`;
  return new StatusError({
    status: "Failure",
    message: `${qualified}${name === "" ? "" : ` ${JSON.stringify(name)}`} is forbidden: ${why}`,
    reason: "Forbidden",
    details: {
      ...(name === "" ? {} : { name }),
      ...(group === "" ? {} : { group }),
      kind: plural,
      ...(causes === undefined ? {} : { causes }),
    },
    code: 403,
  });
}

/** The request's object as the kind the plugin has just checked it to be. */
export function objectAs<T>({ object }: AdmissionAttributes): T {
  return object as unknown as T;
}
export function oldObjectAs<T>({ oldObject }: AdmissionAttributes): T | undefined {
  return oldObject as unknown as T | undefined;
}

/** The spec of the request's pod to be written to: a copy where it is the stored pod's own, or shared. */
export function ownSpec(attributes: AdmissionAttributes): PodSpec {
  const object = attributes.object as unknown as Pod;
  const { spec } = object;
  if (spec !== undefined && !isShared(spec) && spec !== oldObjectAs<Pod>(attributes)?.spec) return spec;
  object.spec = deepCopy(spec ?? { containers: [] });
  return object.spec;
}

/** Changes the spec of a new pod; a shared one once for all pods that have it. `about` says what `change` depends on. */
export function changeSpec(pod: Pod, about: string, change: (spec: PodSpec) => void): void {
  pod.spec = changed(pod.spec!, about, change);
}

/** Several complaints in Go's form: one plainly, more in brackets. */
export function joinErrors(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(", ")}]`;
}

export const MIRROR_POD_ANNOTATION = "kubernetes.io/config.mirror";

/** A new object that a finalizer holds until nobody needs it any more. */
export function holdBy(finalizer: string, { object }: AdmissionAttributes): void {
  if (object === undefined || object.metadata.finalizers?.includes(finalizer)) return;
  (object.metadata.finalizers ??= []).push(finalizer);
}
