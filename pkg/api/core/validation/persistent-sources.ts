/** Rules of what a PersistentVolume is made from: mostly those of pods' volumes, with references into other namespaces. */
import { isDns1123Subdomain } from "#pkg/apimachinery/index.ts";
import type {
  CSIPersistentVolumeSource,
  GlusterfsPersistentVolumeSource,
  LocalVolumeSource,
  PersistentVolumeSpec,
  SecretReference,
  StorageOSPersistentVolumeSource,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  noBacksteps,
  required,
} from "../../validation/rules.ts";
import {
  requires,
  SOURCE_RULES,
  validateDriverName,
  validateFlexVolume,
  validateIscsi,
  validateIscsiInterface,
} from "./volume-sources.ts";

function validateGlusterfs(source: GlusterfsPersistentVolumeSource, path: string): FieldError[] {
  const errors = requires(source, ["endpoints", "path"], path);
  const namespace = source.endpointsNamespace;
  if (namespace === undefined) return errors;
  const at = `${path}.endpointsNamespace`;
  if (namespace !== "") return [...errors, ...dnsLabel(namespace, at)];
  return [...errors, invalid(at, "", "if the endpointnamespace is set, it must be a valid namespace name")];
}

const namesSecret = (ref: SecretReference | object | undefined, path: string): FieldError[] =>
  ref === undefined ? [] : requires(ref, ["name", "namespace"], `${path}.secretRef`);

function validateStorageOs(source: StorageOSPersistentVolumeSource, path: string): FieldError[] {
  const { volumeName, volumeNamespace, secretRef } = source;
  return [
    ...(isEmpty(volumeName) ? [required(`${path}.volumeName`)] : dnsLabel(volumeName!, `${path}.volumeName`)),
    ...(isEmpty(volumeNamespace) ? [] : dnsLabel(volumeNamespace!, `${path}.volumeNamespace`)),
    ...namesSecret(secretRef, path),
  ];
}

function validateLocal(source: LocalVolumeSource, hasNodes: boolean, path: string): FieldError[] {
  const errors = isEmpty(source.path) ? [required(`${path}.path`)] : noBacksteps(source.path, `${path}.path`);
  if (hasNodes) return errors;
  return [...errors, required(path.replace(/local$/, "nodeAffinity"), "Local volume requires node affinity")];
}

const SECRETS = [
  "controllerPublishSecretRef",
  "controllerExpandSecretRef",
  "nodePublishSecretRef",
  "nodeExpandSecretRef",
] as const;

function validateCsi(source: CSIPersistentVolumeSource, path: string): FieldError[] {
  const errors = [...validateDriverName(source.driver, `${path}.driver`), ...requires(source, ["volumeHandle"], path)];
  for (const field of SECRETS) {
    const ref = source[field];
    if (ref === undefined) continue;
    const { name, namespace } = ref;
    const at = `${path}.${field}`;
    if (isEmpty(name)) errors.push(required(`${at}.name`));
    else errors.push(...allInvalid(`${at}.name`, name, isDns1123Subdomain(name!)));
    if (isEmpty(namespace)) errors.push(required(`${at}.namespace`));
    else errors.push(...dnsLabel(namespace!, `${at}.namespace`));
  }
  return errors;
}

/** Fields of the spec that are not the volume's source. */
type NotSource =
  | "accessModes"
  | "capacity"
  | "claimRef"
  | "mountOptions"
  | "nodeAffinity"
  | "persistentVolumeReclaimPolicy"
  | "storageClassName"
  | "volumeAttributesClassName"
  | "volumeMode";
type SourceType = Exclude<keyof PersistentVolumeSpec, NotSource>;
type Rule<T extends SourceType> = (
  source: NonNullable<PersistentVolumeSpec[T]>,
  path: string,
  volume: { readonly name: string; readonly hasNodes: boolean },
) => FieldError[];

/** The rule of each type, in the order in which upstream looks at them: the first that is there is the volume's type. */
const RULES: { readonly [T in SourceType]-?: Rule<T> } = {
  hostPath: SOURCE_RULES.hostPath,
  gcePersistentDisk: SOURCE_RULES.gcePersistentDisk,
  awsElasticBlockStore: SOURCE_RULES.awsElasticBlockStore,
  glusterfs: validateGlusterfs,
  flocker: SOURCE_RULES.flocker,
  nfs: SOURCE_RULES.nfs,
  rbd: (source, path) => requires(source, ["monitors", "image"], path),
  quobyte: SOURCE_RULES.quobyte,
  cephfs: (source, path) => requires(source, ["monitors"], path),
  iscsi: (source, path, { name }) => [
    ...validateIscsiInterface(source, name, `${path}.targetportal`),
    ...validateIscsi(source, path),
    ...(source.secretRef === undefined ? [] : requires(source.secretRef, ["name"], `${path}.secretRef`)),
  ],
  cinder: (source, path) => [...requires(source, ["volumeID"], path), ...namesSecret(source.secretRef, path)],
  fc: SOURCE_RULES.fc,
  flexVolume: validateFlexVolume,
  azureFile: (source, path) => [
    ...requires(source, ["secretName", "shareName"], path),
    ...(source.secretNamespace === "" ? [required(`${path}.secretNamespace`)] : []),
  ],
  vsphereVolume: SOURCE_RULES.vsphereVolume,
  photonPersistentDisk: SOURCE_RULES.photonPersistentDisk,
  portworxVolume: SOURCE_RULES.portworxVolume,
  azureDisk: SOURCE_RULES.azureDisk,
  scaleIO: (source, path) => requires(source, ["gateway", "system", "volumeName"], path),
  local: (source, path, { hasNodes }) => validateLocal(source, hasNodes, path),
  storageos: validateStorageOs,
  csi: validateCsi,
};
const TYPES = Object.keys(RULES) as SourceType[];

/** What the volume is made from, by the name of its type. */
export function sourcesOf(spec: PersistentVolumeSpec): Partial<Record<SourceType, unknown>> {
  return Object.fromEntries(TYPES.filter((type) => spec[type] !== undefined).map((type) => [type, spec[type]]));
}

/** Errors of the volume's source, of which there is one. `name` is the volume's. */
export function validateSource(spec: PersistentVolumeSpec, name: string, path: string): FieldError[] {
  const [type, ...others] = Object.keys(sourcesOf(spec)) as SourceType[];
  if (type === undefined) return [required(path, "must specify a volume type")];
  const volume = { name, hasNodes: spec.nodeAffinity !== undefined };
  const rule = RULES[type] as (source: unknown, at: string, of: typeof volume) => FieldError[];
  return [
    ...rule(spec[type], `${path}.${type}`, volume),
    ...others.map((other) => forbidden(`${path}.${other}`, "may not specify more than 1 volume type")),
  ];
}
