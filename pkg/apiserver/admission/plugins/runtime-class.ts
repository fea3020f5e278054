import { isDeepStrictEqual } from "node:util";
import type { Pod, Toleration } from "#pkg/api/types/core-v1.ts";
import type { RuntimeClass as Class } from "#pkg/api/types/node-v1.ts";
import { parseQuantity, unshared } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { isOn, objectAs, refusal } from "../attributes.ts";

type List = Readonly<Record<string, unknown>>;

function sameQuantities(a: List, b: List): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every(
    (name) => b[name] !== undefined && parseQuantity(a[name] as string).equals(parseQuantity(b[name] as string)),
  );
}

/** Overhead, node selector and tolerations of the pod's RuntimeClass (KEP-688). */
export class RuntimeClass implements AdmissionPlugin {
  readonly name = "RuntimeClass";
  readonly sparesShared = true;
  readonly #classes: ObjectSource<Class>;
  constructor(classes: ObjectSource<Class>) {
    this.#classes = classes;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE");
  }

  admit(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    const found = this.#classOf(attributes, pod);
    if (found === undefined || pod.spec === undefined) return;
    pod.spec = unshared(pod.spec);
    const overhead = found.overhead?.podFixed;
    if (overhead !== undefined) {
      if (pod.spec.overhead !== undefined && !sameQuantities(pod.spec.overhead as List, overhead as List)) {
        throw refusal(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
      }
      pod.spec.overhead = { ...overhead };
    }
    const { nodeSelector, tolerations } = found.scheduling ?? {};
    for (const [key, value] of Object.entries(nodeSelector ?? {})) {
      const own = pod.spec.nodeSelector?.[key];
      if (own !== undefined && own !== value) {
        throw refusal(
          attributes,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        );
      }
      (pod.spec.nodeSelector ??= {})[key] = value;
    }
    for (const toleration of tolerations ?? []) {
      const has = (own: Toleration): boolean => isDeepStrictEqual({ ...own }, { ...toleration });
      if (pod.spec.tolerations?.some(has) !== true) (pod.spec.tolerations ??= []).push({ ...toleration });
    }
  }

  validate(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    const overhead = this.#classOf(attributes, pod)?.overhead?.podFixed;
    const own = pod.spec?.overhead;
    if (overhead === undefined) {
      if (own !== undefined) {
        throw refusal(attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
      }
    } else if (own === undefined || !sameQuantities(own as List, overhead as List)) {
      throw refusal(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    }
  }

  #classOf(attributes: AdmissionAttributes, pod: Pod): Class | undefined {
    const name = pod.spec?.runtimeClassName;
    if (name === undefined) return undefined;
    const found = this.#classes.get("", name);
    if (found === undefined) throw refusal(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
    return found;
  }
}
