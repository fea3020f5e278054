import type { FieldSchema } from "#pkg/apimachinery/index.ts";

/** Package and name as Go prints a type: v1.Container, resource.Quantity, intstr.IntOrString. */
function structName(definition: string): string {
  const parts = definition.split(".");
  return `${parts.at(-2)}.${parts.at(-1)}`;
}

const SCALARS: Readonly<Record<string, string>> = {
  string: "string",
  boolean: "bool",
  number: "float64",
  quantity: "resource.Quantity",
  "int-or-string": "intstr.IntOrString",
  time: "v1.Time",
  "micro-time": "v1.MicroTime",
  bytes: "[]uint8",
  any: "interface {}",
};

/** The Go type that follows from the schema alone, as error messages show it. */
export function goTypeOf(schema: FieldSchema): string {
  if (schema.type === "array") return `[]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "map") return `map[string]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "integer") return schema.format ?? "int64";
  if (schema.type === "object") {
    return schema.definition === undefined ? "map[string]interface {}" : structName(schema.definition);
  }
  return SCALARS[schema.type] ?? schema.type;
}

/** Fields whose Go type has a name that the schema does not know; a list gives its whole type. */
const NAMED_TYPES: Readonly<Record<string, string>> = {
  "Container.imagePullPolicy": "v1.PullPolicy",
  "Container.terminationMessagePolicy": "v1.TerminationMessagePolicy",
  "ContainerPort.protocol": "v1.Protocol",
  "DaemonSetUpdateStrategy.type": "v1.DaemonSetUpdateStrategyType",
  "DeploymentStrategy.type": "v1.DeploymentStrategyType",
  "EphemeralContainer.imagePullPolicy": "v1.PullPolicy",
  "HTTPGetAction.scheme": "v1.URIScheme",
  "NamespaceStatus.phase": "v1.NamespacePhase",
  "ObjectMeta.uid": "types.UID",
  "OwnerReference.uid": "types.UID",
  "PersistentVolumeClaimSpec.accessModes": "[]v1.PersistentVolumeAccessMode",
  "PersistentVolumeClaimSpec.volumeMode": "v1.PersistentVolumeMode",
  "PersistentVolumeSpec.accessModes": "[]v1.PersistentVolumeAccessMode",
  "PersistentVolumeSpec.capacity": "v1.ResourceList",
  "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "v1.PersistentVolumeReclaimPolicy",
  "PodSpec.dnsPolicy": "v1.DNSPolicy",
  "PodSpec.overhead": "v1.ResourceList",
  "PodSpec.preemptionPolicy": "v1.PreemptionPolicy",
  "PodSpec.restartPolicy": "v1.RestartPolicy",
  "PodStatus.phase": "v1.PodPhase",
  "ResourceQuotaSpec.hard": "v1.ResourceList",
  "ResourceRequirements.limits": "v1.ResourceList",
  "ResourceRequirements.requests": "v1.ResourceList",
  "Secret.type": "v1.SecretType",
  "ServicePort.protocol": "v1.Protocol",
  "ServiceSpec.sessionAffinity": "v1.ServiceAffinity",
  "ServiceSpec.type": "v1.ServiceType",
  "StatefulSetSpec.podManagementPolicy": "v1.PodManagementPolicyType",
  "Taint.effect": "v1.TaintEffect",
  "Toleration.effect": "v1.TaintEffect",
  "Toleration.operator": "v1.TolerationOperator",
  "VolumeResourceRequirements.limits": "v1.ResourceList",
  "VolumeResourceRequirements.requests": "v1.ResourceList",
};

/** The name of a field's Go type where it has one of its own. */
export function namedTypeOf(struct: string, field: string): string | undefined {
  return NAMED_TYPES[`${struct}.${field}`];
}
