import { BETA_STORAGE_CLASS, storageClassNameOf } from "#pkg/api/rules/index.ts";
import type { PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import type { Ingress, IngressClass } from "#pkg/api/types/networking-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { type AnyObject, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { holdBy, isOn, objectAs, oldObjectAs, refusal } from "../attributes.ts";

const DEFAULT_CLASS_ANNOTATIONS = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

/** The newest of several, ties by name: which default counts when several are marked. */
function newest<T extends AnyObject>(objects: readonly T[]): T | undefined {
  const time = ({ metadata }: T): number => Date.parse(metadata.creationTimestamp ?? "") || 0;
  const name = ({ metadata }: T): string => metadata.name ?? "";
  return [...objects].sort((a, b) => time(b) - time(a) || (name(a) < name(b) ? -1 : 1))[0];
}

function defaultOf(classes: readonly StorageClass[]): StorageClass | undefined {
  return newest(
    classes.filter(({ metadata }) => DEFAULT_CLASS_ANNOTATIONS.some((key) => metadata.annotations?.[key] === "true")),
  );
}

/** A claim that names no class gets the default one, if there is one. */
export class DefaultStorageClass implements AdmissionPlugin {
  readonly name = "DefaultStorageClass";
  readonly #classes: ObjectSource<StorageClass>;
  constructor(classes: ObjectSource<StorageClass>) {
    this.#classes = classes;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "persistentvolumeclaims", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const claim = objectAs<PersistentVolumeClaim>(attributes);
    if (claim.spec === undefined || claim.spec.storageClassName !== undefined) return;
    if (claim.metadata.annotations?.[BETA_STORAGE_CLASS] !== undefined) return;
    const chosen = defaultOf(this.#classes.list());
    if (chosen !== undefined) claim.spec.storageClassName = chosen.metadata.name;
  }
}

const PROTECTION: Readonly<Record<string, string>> = {
  "/persistentvolumes": "kubernetes.io/pv-protection",
  "/persistentvolumeclaims": "kubernetes.io/pvc-protection",
  "storage.k8s.io/volumeattributesclasses": "kubernetes.io/vac-protection",
};

/** Volumes, claims and attribute classes cannot vanish while they are used: a finalizer holds them. */
export class StorageObjectInUseProtection implements AdmissionPlugin {
  readonly name = "StorageObjectInUseProtection";
  handles({ resource, operation, subresource }: AdmissionAttributes): boolean {
    return (
      operation === "CREATE" && subresource === "" && PROTECTION[`${resource.group}/${resource.plural}`] !== undefined
    );
  }
  admit(attributes: AdmissionAttributes): void {
    const { group, plural } = attributes.resource;
    holdBy(PROTECTION[`${group}/${plural}`]!, attributes);
  }
}

/** Claims only grow, and only where their class lets them. */
export class PersistentVolumeClaimResize implements AdmissionPlugin {
  readonly name = "PersistentVolumeClaimResize";
  readonly #classes: ObjectSource<StorageClass>;
  constructor(classes: ObjectSource<StorageClass>) {
    this.#classes = classes;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "persistentvolumeclaims", "UPDATE");
  }
  validate(attributes: AdmissionAttributes): void {
    const claim = objectAs<PersistentVolumeClaim>(attributes);
    const old = oldObjectAs<PersistentVolumeClaim>(attributes);
    const size = claim.spec?.resources?.requests?.["storage"];
    const oldSize = old?.spec?.resources?.requests?.["storage"];
    if (size === undefined || oldSize === undefined || parseQuantity(size).cmp(parseQuantity(oldSize)) <= 0) return;
    if (old?.status?.phase !== "Bound")
      throw refusal(attributes, "Only bound persistent volume claims can be expanded");
    if (this.#classes.get("", storageClassNameOf(claim))?.allowVolumeExpansion !== true) {
      throw refusal(
        attributes,
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
      );
    }
  }
}

const DEFAULT_INGRESS_CLASS = "ingressclass.kubernetes.io/is-default-class";

/** An Ingress that names no class gets the default one, if there is one. */
export class DefaultIngressClass implements AdmissionPlugin {
  readonly name = "DefaultIngressClass";
  readonly #classes: ObjectSource<IngressClass>;
  constructor(classes: ObjectSource<IngressClass>) {
    this.#classes = classes;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "networking.k8s.io", "ingresses", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const ingress = objectAs<Ingress>(attributes);
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.["kubernetes.io/ingress.class"] !== undefined) return;
    const chosen = newest(
      this.#classes.list().filter(({ metadata }) => metadata.annotations?.[DEFAULT_INGRESS_CLASS] === "true"),
    );
    if (chosen !== undefined) (ingress.spec ??= {}).ingressClassName = chosen.metadata.name;
  }
}
