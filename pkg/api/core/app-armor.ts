/** AppArmor profiles in annotations: what they were before pods had a field for them, and still work as (KEP-24). */
import { changed, deepEqual } from "#pkg/apimachinery/index.ts";
import type { AppArmorProfile, Pod } from "../types/core-v1.ts";
import { APP_ARMOR, LOCAL_PREFIX, useAppArmorField } from "./validation/pod-annotations.ts";
import { validateAppArmor } from "./validation/security.ts";
import { containersOf } from "./validation/windows.ts";

/** The profile that an annotation stands for; none for a text that means nothing. */
function profileOf(annotation: string): AppArmorProfile | undefined {
  if (annotation === "unconfined") return { type: "Unconfined" };
  if (annotation === "runtime/default") return { type: "RuntimeDefault" };
  const localhostProfile = annotation.startsWith(LOCAL_PREFIX) ? annotation.slice(LOCAL_PREFIX.length) : "";
  if (localhostProfile === "") return undefined;
  const profile = { type: "Localhost", localhostProfile };
  return validateAppArmor(profile, "").length === 0 ? profile : undefined;
}

/**
 * Gives containers of a new pod that have an annotation and no profile of their own the annotation's, unless the pod's is
 * the same. Answers what to tell whoever still writes annotations.
 */
export function adoptAppArmorAnnotations(pod: Pod): string[] {
  const { annotations } = pod.metadata;
  if (annotations === undefined || pod.spec?.os?.name === "windows") return [];
  const warnings: string[] = [];
  const found: Record<string, AppArmorProfile> = {};
  for (const [{ name, securityContext }] of containersOf(pod.spec, "")) {
    const annotation = annotations[APP_ARMOR + name];
    if (annotation === undefined || securityContext?.appArmorProfile !== undefined) continue;
    const profile = profileOf(annotation);
    if (deepEqual(profile, pod.spec.securityContext?.appArmorProfile) && profile !== undefined) continue;
    if (profile !== undefined) found[name] = profile;
    warnings.push(useAppArmorField("metadata", name));
  }
  if (Object.keys(found).length > 0) {
    pod.spec = changed(pod.spec, `AppArmor profiles ${JSON.stringify(found)}`, (spec) => {
      for (const [container] of containersOf(spec, "")) {
        const appArmorProfile = found[container.name];
        if (appArmorProfile !== undefined)
          container.securityContext = { ...container.securityContext, appArmorProfile };
      }
    });
  }
  return warnings;
}
