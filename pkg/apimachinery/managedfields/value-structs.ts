import type { FieldSchema } from "../schema.ts";

/**
 * Struct members that are values, not pointers, in the Go types of the built-in kinds. An update that fills in such a
 * member adds its fields, but not the member itself, so FieldsV1 has no "." there.
 */
const EVERYWHERE = new Set(["metadata", "spec", "status", "jobTemplate", "updateStrategy"]);
const BY_DEFINITION: Readonly<Record<string, readonly string[]>> = {
  "io.k8s.api.apps.v1.DaemonSetSpec": ["template"],
  "io.k8s.api.apps.v1.DeploymentSpec": ["template", "strategy"],
  "io.k8s.api.apps.v1.ReplicaSetSpec": ["template"],
  "io.k8s.api.apps.v1.StatefulSetSpec": ["template"],
  "io.k8s.api.batch.v1.JobSpec": ["template"],
  "io.k8s.api.core.v1.PodTemplate": ["template"],
  "io.k8s.api.core.v1.Container": ["resources"],
  "io.k8s.api.core.v1.EphemeralContainer": ["resources"],
  "io.k8s.api.core.v1.PersistentVolumeClaimSpec": ["resources"],
  "io.k8s.api.core.v1.ContainerStatus": ["state", "lastState"],
  "io.k8s.api.core.v1.NodeStatus": ["daemonEndpoints", "nodeInfo"],
  "io.k8s.api.core.v1.NodeDaemonEndpoints": ["kubeletEndpoint"],
  "io.k8s.api.core.v1.ServiceStatus": ["loadBalancer"],
  "io.k8s.api.core.v1.Event": ["source", "involvedObject"],
  "io.k8s.api.events.v1.Event": ["regarding", "deprecatedSource"],
  "io.k8s.api.networking.v1.IngressStatus": ["loadBalancer"],
  "io.k8s.api.networking.v1.HTTPIngressPath": ["backend"],
  "io.k8s.api.networking.v1.IngressServiceBackend": ["port"],
  "io.k8s.api.networking.v1.NetworkPolicySpec": ["podSelector"],
  "io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec": ["scaleTargetRef"],
  "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": ["scaleTargetRef"],
  "io.k8s.api.rbac.v1.RoleBinding": ["roleRef"],
  "io.k8s.api.rbac.v1.ClusterRoleBinding": ["roleRef"],
  "io.k8s.api.resource.v1.ResourceClaimSpec": ["devices"],
  "io.k8s.api.storage.v1.VolumeAttachmentSpec": ["source"],
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec": ["names"],
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus": ["acceptedNames"],
};

/** Is member `name` of `parent` there even where JSON omits it? */
export function isValueStruct(parent: FieldSchema, name: string, property: FieldSchema): boolean {
  if (parent.definition === undefined) return false;
  if (property.type === "array" || property.type === "map") return parent.required?.includes(name) === true;
  if (property.type !== "object") return false;
  return EVERYWHERE.has(name) || BY_DEFINITION[parent.definition]?.includes(name) === true;
}
