import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { managerFromUserAgent, updateManagedFields } from "#pkg/apimachinery/managedfields/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { Call } from "./call.ts";
import type { InstalledResource } from "./installed.ts";

/** The manager of a write that names none: the client's program, as upstream derives it from the user agent. */
function managerOf(call: Call, fieldManager: string): string {
  if (fieldManager !== "") return fieldManager;
  const name = managerFromUserAgent(call.request.headers["user-agent"]);
  return name === "" ? "unknown" : name;
}

/** Fields that a write through this endpoint never changes, as dotted paths. */
export function resetFieldsOf(installed: InstalledResource, subresource: string): readonly string[] {
  if (subresource === "") return installed.resetFields;
  return subresource === "status" ? installed.statusResetFields : NONE;
}

const NONE: readonly string[] = [];

/** Records in metadata.managedFields who set which fields. */
export function trackUpdate(
  call: Call,
  old: Readonly<KubeObject> | undefined,
  object: KubeObject,
  fieldManager: string,
  subresource = "",
): void {
  const { installed } = call;
  const managedFields = updateManagedFields({
    schema: installed.definition.schema,
    live: old,
    updated: object,
    manager: managerOf(call, fieldManager),
    apiVersion: installed.apiVersion,
    subresource,
    time: formatTime(call.now),
    resetFields: resetFieldsOf(installed, subresource),
  });
  if (managedFields.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
}
