import type { KubeObject } from "#pkg/apimachinery/index.ts";
import data from "./data/selectable-fields.json" with { type: "json" };

type Accessor = (object: Readonly<KubeObject>) => string;

const kinds = data.kinds as Readonly<Record<string, readonly string[]>>;

/** Labels whose value is not simply the text of the field they name. */
const COMPUTED: Readonly<Record<string, Accessor>> = {
  "v1/Event:source": (event) => read(event, ["source", "component"]) || read(event, ["reportingComponent"]),
  "v1/Event:reportingComponent": (event) => read(event, ["reportingComponent"]),
  "v1/Node:spec.unschedulable": (node) => read(node, ["spec", "unschedulable"]) || "false",
  "v1/Pod:spec.hostNetwork": (pod) => read(pod, ["spec", "hostNetwork"]) || "false",
  "v1/Pod:status.podIPs": (pod) => read(pod, ["status", "podIP"]),
  "v1/ReplicationController:status.replicas": (controller) => read(controller, ["status", "replicas"]) || "0",
  "batch/v1/Job:status.successful": (job) => read(job, ["status", "succeeded"]) || "0",
};

function read(object: Readonly<KubeObject>, path: readonly string[]): string {
  let value: unknown = object;
  for (const field of path) {
    if (typeof value !== "object" || value === null) return "";
    value = (value as Record<string, unknown>)[field];
  }
  return value === undefined || value === null || typeof value === "object" ? "" : String(value);
}

/** The selectable fields of a built-in kind beyond metadata.name and metadata.namespace. */
export function selectableFieldsOf(group: string, version: string, kind: string): ReadonlyMap<string, Accessor> {
  const key = `${group === "" ? "" : `${group}/`}${version}/${kind}`;
  const fields = new Map<string, Accessor>();
  for (const label of kinds[key] ?? []) {
    const [name, target] = label.split(" -> ") as [string, string | undefined];
    // events.k8s.io renames fields of the stored core Event; its own objects carry the name the client uses.
    const path = (target !== undefined && group === "" ? target : name).split(".");
    fields.set(name, COMPUTED[`${key}:${name}`] ?? ((object) => read(object, path)));
  }
  return fields;
}
