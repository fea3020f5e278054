/** Rules of what a volume is made from, one function per type; PersistentVolumes have most of the types too. */
import { isDns1123Subdomain, parseQuantity } from "#pkg/apimachinery/index.ts";
import type {
  AzureDiskVolumeSource,
  CSIVolumeSource,
  EphemeralVolumeSource,
  FCVolumeSource,
  FlexVolumeSource,
  FlockerVolumeSource,
  HostPathVolumeSource,
  ISCSIVolumeSource,
  NFSVolumeSource,
  QuobyteVolumeSource,
  StorageOSVolumeSource,
  Volume,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  type FieldError,
  forbidden,
  inRange,
  invalid,
  isEmpty,
  localPath,
  noBacksteps,
  notSupported,
  required,
  tooLong,
  given,
} from "../../validation/rules.ts";
import { validatePvcTemplate } from "./claims.ts";
import { validateConfigMapFiles, validateDownwardFiles, validateSecretFiles } from "./volume-files.ts";
import { validateProjected } from "./volume-projected.ts";

/** Fields that must be there, in the order in which they are asked for. */
export function requires(source: object, fields: readonly string[], path: string): FieldError[] {
  const values = source as Readonly<Record<string, unknown>>;
  const missing = (value: unknown): boolean => isEmpty(value) || (Array.isArray(value) && value.length === 0);
  return fields.filter((field) => missing(values[field])).map((field) => required(`${path}.${field}`));
}

const HOST_PATH_TYPES = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

function validateHostPath(source: HostPathVolumeSource, path: string): FieldError[] {
  if (isEmpty(source.path)) return [required(`${path}.path`)];
  const errors = noBacksteps(source.path, `${path}.path`);
  return [...errors, ...given(source.type, HOST_PATH_TYPES, `${path}.type`)];
}

/** Names of iSCSI nodes: RFC 3721's three kinds. */
const ISCSI_NAMES: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[A-Za-z0-9]{16}$/,
  naa: /^naa.[A-Za-z0-9]{32}$/,
};

function validateIscsiName(name: string, path: string): FieldError[] {
  const format = ISCSI_NAMES[name.slice(0, 3)];
  if (format === undefined) return [invalid(path, name, "must be valid format starting with iqn, eui, or naa")];
  return format.test(name) ? [] : [invalid(path, name, "must be valid format")];
}

const MAX_LUN = 255;

export function validateIscsi(source: ISCSIVolumeSource, path: string): FieldError[] {
  const errors = requires(source, ["targetPortal", "iqn"], path);
  if (!isEmpty(source.iqn)) errors.push(...validateIscsiName(source.iqn, `${path}.iqn`));
  errors.push(...inRange(source.lun ?? 0, 0, MAX_LUN, `${path}.lun`));
  const authenticates = source.chapAuthDiscovery === true || source.chapAuthSession === true;
  if (authenticates && source.secretRef === undefined) errors.push(required(`${path}.secretRef`));
  const initiator = source.initiatorName;
  if (initiator !== undefined) errors.push(...validateIscsiName(initiator, `${path}.initiatorname`));
  return errors;
}

const MAX_ISCSI_INTERFACE = 64;

/** The kernel names an iSCSI interface after volume and portal. */
export function validateIscsiInterface(source: ISCSIVolumeSource, name: string, path: string): FieldError[] {
  if (source.initiatorName === undefined) return [];
  if (`${name}:${source.targetPortal ?? ""}`.length <= MAX_ISCSI_INTERFACE) return [];
  const why =
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
  return [invalid(path, name, why)];
}

function validateFibreChannel({ targetWWNs = [], wwids = [], lun }: FCVolumeSource, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (targetWWNs.length === 0 && wwids.length === 0) {
    errors.push(required(`${path}.targetWWNs`, "must specify either targetWWNs or wwids, but not both"));
  }
  if (targetWWNs.length > 0 && wwids.length > 0) {
    const why = "targetWWNs and wwids can not be specified simultaneously";
    errors.push(invalid(`${path}.targetWWNs`, targetWWNs, why));
  }
  if (targetWWNs.length === 0) return errors;
  if (lun === undefined) errors.push(required(`${path}.lun`, "lun is required if targetWWNs is specified"));
  return [...errors, ...inRange(lun, 0, MAX_LUN, `${path}.lun`)];
}

function validatePartition(partition: number | undefined, path: string): FieldError[] {
  // Zero stands for the whole disk, whatever the message says.
  if (partition === undefined || (partition >= 0 && partition <= 255)) return [];
  return [invalid(path, partition, "must be between 1 and 255, inclusive")];
}

function validateNfs(source: NFSVolumeSource, path: string): FieldError[] {
  const errors = requires(source, ["server", "path"], path);
  const directory = source.path ?? "";
  if (!directory.startsWith("/")) errors.push(invalid(`${path}.path`, directory, "must be an absolute path"));
  return errors;
}

/** host:port, with brackets around an IPv6 address. */
const HOST_PORT = /^(?:\[[^[\]]*\]|[^[\]:]*):[^[\]:]*$/;
const MAX_TENANT = 64;

function validateQuobyte(source: QuobyteVolumeSource, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const pairs = "must be a host:port pair or multiple pairs separated by commas";
  if (isEmpty(source.registry)) errors.push(required(`${path}.registry`, pairs));
  else if ((source.tenant ?? "").length > MAX_TENANT) {
    errors.push(required(`${path}.tenant`, "must be a UUID and may not exceed a length of 64 characters"));
  } else {
    for (const pair of source.registry.split(",")) {
      if (!HOST_PORT.test(pair)) errors.push(invalid(`${path}.registry`, source.registry, pairs));
    }
  }
  return [...errors, ...requires(source, ["volume"], path)];
}

function validateFlocker({ datasetName, datasetUUID }: FlockerVolumeSource, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(datasetName) && isEmpty(datasetUUID)) {
    errors.push(required(path, "one of datasetName and datasetUUID is required"));
  }
  if (!isEmpty(datasetName) && !isEmpty(datasetUUID)) {
    errors.push(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"));
  }
  if (datasetName?.includes("/") === true) {
    errors.push(invalid(`${path}.datasetName`, datasetName, "must not contain '/'"));
  }
  return errors;
}

export function validateFlexVolume(source: Pick<FlexVolumeSource, "driver" | "options">, path: string): FieldError[] {
  const errors = requires(source, ["driver"], path);
  for (const key of Object.keys(source.options ?? {})) {
    const domain = `.${key.split("/", 1)[0]!.toLowerCase()}`;
    if (!domain.endsWith(".kubernetes.io") && !domain.endsWith(".k8s.io")) continue;
    errors.push(invalid(`${path}.options[${key}]`, key, "kubernetes.io and k8s.io namespaces are reserved"));
  }
  return errors;
}

const CACHING_MODES = ["None", "ReadOnly", "ReadWrite"];
const DISK_KINDS = ["Dedicated", "Managed", "Shared"];
const MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

function validateAzureDisk(source: AzureDiskVolumeSource, path: string): FieldError[] {
  const errors = requires(source, ["diskName", "diskURI"], path);
  const { cachingMode, kind, diskURI = "" } = source;
  errors.push(...given(cachingMode, CACHING_MODES, `${path}.cachingMode`), ...given(kind, DISK_KINDS, `${path}.kind`));
  if (kind === "Managed" && !diskURI.startsWith("/subscriptions/")) {
    errors.push(notSupported(`${path}.diskURI`, diskURI, [MANAGED_DISK]));
  }
  if (kind !== undefined && kind !== "Managed" && !diskURI.startsWith("https://")) {
    errors.push(notSupported(`${path}.diskURI`, diskURI, [BLOB_DISK]));
  }
  return errors;
}

function validateStorageOs(source: StorageOSVolumeSource, path: string): FieldError[] {
  const errors = requires(source, ["volumeName"], path);
  if (!isEmpty(source.volumeName)) errors.push(...dnsLabel(source.volumeName!, `${path}.volumeName`));
  if (!isEmpty(source.volumeNamespace)) errors.push(...dnsLabel(source.volumeNamespace!, `${path}.volumeNamespace`));
  if (source.secretRef !== undefined) errors.push(...requires(source.secretRef, ["name"], `${path}.secretRef`));
  return errors;
}

const MAX_DRIVER_NAME = 63;

/** Names of CSI drivers, which end up in the names of sockets. */
export function validateDriverName(name: string | undefined, path: string): FieldError[] {
  const errors = isEmpty(name) ? [required(path)] : [];
  if ((name ?? "").length > MAX_DRIVER_NAME) errors.push(tooLong(path, MAX_DRIVER_NAME));
  return [...errors, ...allInvalid(path, name ?? "", isDns1123Subdomain((name ?? "").toLowerCase()))];
}

function validateCsi(source: CSIVolumeSource, path: string): FieldError[] {
  const errors = validateDriverName(source.driver, `${path}.driver`);
  const secret = source.nodePublishSecretRef;
  if (secret === undefined) return errors;
  if (isEmpty(secret.name)) return [...errors, required(`${path}.nodePublishSecretRef.name`)];
  return [...errors, ...allInvalid(`${path}.name`, secret.name, isDns1123Subdomain(secret.name!))];
}

function validateEphemeral({ volumeClaimTemplate }: EphemeralVolumeSource, path: string): FieldError[] {
  const at = `${path}.volumeClaimTemplate`;
  return volumeClaimTemplate === undefined ? [required(at)] : validatePvcTemplate(volumeClaimTemplate, at);
}

type SourceType = Exclude<keyof Volume, "name">;
type SourceRule<T extends SourceType> = (source: NonNullable<Volume[T]>, path: string) => FieldError[];

const needs =
  (...fields: string[]) =>
  (source: object, path: string): FieldError[] =>
    requires(source, fields, path);

/** The rule of each type, in the order in which upstream looks at them: the first that is there is the volume's type. */
export const SOURCE_RULES: { readonly [T in SourceType]-?: SourceRule<T> } = {
  emptyDir: ({ sizeLimit }, path) => {
    const negative = sizeLimit !== undefined && parseQuantity(sizeLimit).sign < 0;
    return negative ? [forbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity")] : [];
  },
  hostPath: validateHostPath,
  gitRepo: (source, path) => [
    ...requires(source, ["repository"], path),
    ...localPath(source.directory ?? "", `${path}.directory`),
  ],
  gcePersistentDisk: (source, path) => {
    const at = path.replace(/gcePersistentDisk$/, "persistentDisk");
    return [...requires(source, ["pdName"], at), ...validatePartition(source.partition, `${at}.partition`)];
  },
  awsElasticBlockStore: (source, path) => [
    ...requires(source, ["volumeID"], path),
    ...validatePartition(source.partition, `${path}.partition`),
  ],
  secret: validateSecretFiles,
  nfs: validateNfs,
  iscsi: validateIscsi,
  glusterfs: needs("endpoints", "path"),
  flocker: validateFlocker,
  persistentVolumeClaim: needs("claimName"),
  rbd: needs("monitors", "image"),
  cinder: (source, path) => [
    ...requires(source, ["volumeID"], path),
    ...(source.secretRef === undefined ? [] : requires(source.secretRef, ["name"], `${path}.secretRef`)),
  ],
  cephfs: needs("monitors"),
  quobyte: validateQuobyte,
  downwardAPI: validateDownwardFiles,
  fc: validateFibreChannel,
  flexVolume: validateFlexVolume,
  configMap: validateConfigMapFiles,
  azureFile: needs("secretName", "shareName"),
  vsphereVolume: needs("volumePath"),
  photonPersistentDisk: needs("pdID"),
  portworxVolume: needs("volumeID"),
  azureDisk: validateAzureDisk,
  storageos: validateStorageOs,
  projected: validateProjected,
  scaleIO: needs("gateway", "system", "volumeName"),
  csi: validateCsi,
  ephemeral: validateEphemeral,
  image: needs("reference"),
};
