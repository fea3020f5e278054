import { isConfigMapKey, isDns1123Subdomain, parseQuantity } from "#pkg/apimachinery/index.ts";
import type {
  ConfigMapVolumeSource,
  DownwardAPIVolumeFile,
  HostPathVolumeSource,
  KeyToPath,
  ProjectedVolumeSource,
  SecretVolumeSource,
  Volume,
  VolumeProjection,
} from "../../types/core-v1.ts";
import { validateLabelSelector } from "../../validation/selectors.ts";
import {
  allInvalid,
  dnsLabel,
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  localPath,
  noBacksteps,
  nonNegative,
  notSupported,
  required,
} from "../../validation/rules.ts";
import { validatePvcSpec } from "./claims.ts";
import { validateFieldRef, validateResourceFieldRef, VOLUME_FIELDS } from "./env.ts";

const MAX_MODE = 0o777;
const FILE_FIELDS: readonly string[] = ["metadata.annotations", "metadata.labels", ...VOLUME_FIELDS];

function validateMode(mode: number | undefined, path: string): FieldError[] {
  if (mode === undefined || (mode >= 0 && mode <= MAX_MODE)) return [];
  return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}

/** A path for a file inside a volume: relative, and not one of the names that atomic updates use. */
function validateVolumeFilePath(value: string, path: string): FieldError[] {
  const errors = localPath(value, path);
  if (value.startsWith("..") && !value.startsWith("../") && value !== "..") {
    errors.push(invalid(path, value, "must not start with '..'"));
  }
  return errors;
}

function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return each(items, path, ({ key, path: file, mode }, at) => {
    const errors: FieldError[] = [];
    if (isEmpty(key)) errors.push(required(`${at}.key`));
    else errors.push(...allInvalid(`${at}.key`, key, isConfigMapKey(key)));
    if (isEmpty(file)) errors.push(required(`${at}.path`));
    else errors.push(...validateVolumeFilePath(file, `${at}.path`));
    return [...errors, ...validateMode(mode, `${at}.mode`)];
  });
}

function validateConfigMap(source: ConfigMapVolumeSource, path: string): FieldError[] {
  return [
    ...(isEmpty(source.name) ? [required(`${path}.name`)] : []),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...validateItems(source.items, `${path}.items`),
  ];
}

function validateSecret(source: SecretVolumeSource, path: string): FieldError[] {
  return [
    ...(isEmpty(source.secretName) ? [required(`${path}.secretName`)] : []),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...validateItems(source.items, `${path}.items`),
  ];
}

function validateDownwardFile(file: DownwardAPIVolumeFile, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(file.path)) errors.push(required(`${path}.path`));
  else errors.push(...validateVolumeFilePath(file.path, `${path}.path`));
  if (file.fieldRef !== undefined) {
    errors.push(...validateFieldRef(file.fieldRef, FILE_FIELDS, `${path}.fieldRef`));
    if (file.resourceFieldRef !== undefined) {
      errors.push(invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
    }
  } else if (file.resourceFieldRef !== undefined) {
    errors.push(...validateResourceFieldRef(file.resourceFieldRef, true, `${path}.resourceFieldRef`));
  } else errors.push(required(path, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...validateMode(file.mode, `${path}.mode`)];
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
  if (source.type !== undefined && !HOST_PATH_TYPES.includes(source.type)) {
    errors.push(notSupported(`${path}.type`, source.type, HOST_PATH_TYPES));
  }
  return errors;
}

const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

function validateProjection(projection: VolumeProjection, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  const first = (name: string): boolean => {
    if (count > 0) errors.push(forbidden(`${path}.${name}`, "may not specify more than 1 volume type"));
    return ++count === 1;
  };
  const { secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle, podCertificate } = projection;
  if (secret !== undefined && first("secret")) {
    if (isEmpty(secret.name)) errors.push(required(`${path}.secret.name`));
    errors.push(...validateItems(secret.items, `${path}.secret.items`));
  }
  if (configMap !== undefined && first("configMap")) {
    if (isEmpty(configMap.name)) errors.push(required(`${path}.configMap.name`));
    errors.push(...validateItems(configMap.items, `${path}.configMap.items`));
  }
  if (downwardAPI !== undefined && first("downwardAPI")) {
    errors.push(...each(downwardAPI.items, `${path}.downwardAPI.items`, validateDownwardFile));
  }
  if (serviceAccountToken !== undefined && first("serviceAccountToken")) {
    const at = `${path}.serviceAccountToken`;
    const seconds = serviceAccountToken.expirationSeconds;
    if (seconds !== undefined && seconds < MIN_TOKEN_SECONDS) {
      errors.push(invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes"));
    }
    if (seconds !== undefined && seconds > MAX_TOKEN_SECONDS) {
      errors.push(invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    if (isEmpty(serviceAccountToken.path)) errors.push(required(`${at}.path`));
    else errors.push(...localPath(serviceAccountToken.path, `${at}.path`));
  }
  if (clusterTrustBundle !== undefined && first("clusterTrustBundle")) {
    const at = `${path}.clusterTrustBundle`;
    const { name, signerName, labelSelector, path: file } = clusterTrustBundle;
    if (name !== undefined && signerName !== undefined) {
      errors.push(invalid(at, "", "only one of name and signerName may be used"));
    } else if (name === undefined && signerName === undefined) {
      errors.push(required(at, "either name or signerName must be specified"));
    }
    errors.push(...validateLabelSelector(labelSelector, `${at}.labelSelector`));
    if (isEmpty(file)) errors.push(required(`${at}.path`));
    else errors.push(...localPath(file, `${at}.path`));
  }
  if (podCertificate !== undefined && first("podCertificate") && isEmpty(podCertificate.signerName)) {
    errors.push(required(`${path}.podCertificate.signerName`));
  }
  if (count === 0) errors.push(required(path, "must specify a volume type"));
  return errors;
}

/** Files that a projection writes, for the check that no two write the same one. */
function projectedPaths({ secret, configMap, downwardAPI, serviceAccountToken }: VolumeProjection): string[] {
  const paths: string[] = [];
  for (const items of [secret?.items, configMap?.items, downwardAPI?.items]) {
    for (const { path } of items ?? []) if (!isEmpty(path)) paths.push(path);
  }
  if (!isEmpty(serviceAccountToken?.path)) paths.push(serviceAccountToken!.path);
  return paths;
}

function validateProjected(source: ProjectedVolumeSource, path: string): FieldError[] {
  const errors = validateMode(source.defaultMode, `${path}.defaultMode`);
  errors.push(...each(source.sources, `${path}.sources`, validateProjection));
  const seen = new Set<string>();
  for (const file of (source.sources ?? []).flatMap(projectedPaths)) {
    if (seen.has(file)) errors.push(invalid(`${path}.sources`, file, "conflicting duplicate paths"));
    seen.add(file);
  }
  return errors;
}

function requires(source: Readonly<Record<string, unknown>>, fields: readonly string[], path: string): FieldError[] {
  return fields.filter((field) => isEmpty(source[field])).map((field) => required(`${path}.${field}`));
}

/** Fields without which a source of that type names nothing. */
const REQUIRED_FIELDS: Readonly<Record<string, readonly string[]>> = {
  awsElasticBlockStore: ["volumeID"],
  azureDisk: ["diskName", "diskURI"],
  azureFile: ["secretName", "shareName"],
  cephfs: ["monitors"],
  cinder: ["volumeID"],
  csi: ["driver"],
  flexVolume: ["driver"],
  gcePersistentDisk: ["pdName"],
  gitRepo: ["repository"],
  glusterfs: ["endpoints", "path"],
  iscsi: ["targetPortal", "iqn"],
  nfs: ["server", "path"],
  persistentVolumeClaim: ["claimName"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  quobyte: ["registry", "volume"],
  rbd: ["monitors", "image"],
  scaleIO: ["gateway", "system", "volumeName"],
  vsphereVolume: ["volumePath"],
};

function validateSource(volume: Volume, type: string, path: string): FieldError[] {
  switch (type) {
    case "configMap":
      return validateConfigMap(volume.configMap!, path);
    case "secret":
      return validateSecret(volume.secret!, path);
    case "downwardAPI":
      return [
        ...validateMode(volume.downwardAPI!.defaultMode, `${path}.defaultMode`),
        ...each(volume.downwardAPI!.items, `${path}.items`, validateDownwardFile),
      ];
    case "projected":
      return validateProjected(volume.projected!, path);
    case "hostPath":
      return validateHostPath(volume.hostPath!, path);
    case "emptyDir": {
      const limit = volume.emptyDir!.sizeLimit;
      const negative = limit !== undefined && parseQuantity(limit).sign < 0;
      return negative ? [forbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity")] : [];
    }
    case "ephemeral": {
      const template = volume.ephemeral!.volumeClaimTemplate;
      if (template === undefined) return [required(`${path}.volumeClaimTemplate`)];
      return validatePvcSpec(template.spec ?? {}, `${path}.volumeClaimTemplate.spec`);
    }
    case "image":
      return isEmpty(volume.image!.reference) ? [required(`${path}.reference`)] : [];
    case "nfs": {
      const errors = requires({ ...volume.nfs! }, REQUIRED_FIELDS["nfs"]!, path);
      const directory = volume.nfs!.path ?? "";
      if (directory !== "" && !directory.startsWith("/")) {
        errors.push(invalid(`${path}.path`, directory, "must be an absolute path"));
      }
      return errors;
    }
    case "csi": {
      const errors = requires({ ...volume.csi! }, REQUIRED_FIELDS["csi"]!, path);
      const secret = volume.csi!.nodePublishSecretRef;
      if (secret !== undefined && isEmpty(secret.name)) errors.push(required(`${path}.nodePublishSecretRef.name`));
      return errors;
    }
    case "iscsi":
      return [
        ...requires({ ...volume.iscsi! }, REQUIRED_FIELDS["iscsi"]!, path),
        ...nonNegative(volume.iscsi!.lun, `${path}.lun`),
      ];
    default:
      return requires(
        (volume as unknown as Record<string, Record<string, unknown>>)[type] ?? {},
        REQUIRED_FIELDS[type] ?? [],
        path,
      );
  }
}

/** The volume's sources, by field name. */
function volumeSources(volume: Volume): string[] {
  const sources: string[] = [];
  for (const field in volume) {
    if (field !== "name" && volume[field as keyof Volume] !== undefined) sources.push(field);
  }
  return sources;
}

function validateVolume(volume: Volume, podName: string | undefined, path: string): FieldError[] {
  const [type, ...others] = volumeSources(volume);
  if (type === undefined) return [required(path, "must specify a volume type")];
  const errors = validateSource(volume, type, `${path}.${type}`);
  for (const other of others) errors.push(forbidden(`${path}.${other}`, "may not specify more than 1 volume type"));
  if (type === "ephemeral" && podName !== undefined && podName !== "") {
    const claim = `${podName}-${volume.name}`;
    for (const message of isDns1123Subdomain(claim)) {
      errors.push(invalid(`${path}.name`, volume.name, `PVC name ${JSON.stringify(claim)}: ${message}`));
    }
  }
  return errors;
}

/** Volumes of a pod. `podName` is given for Pods, whose ephemeral claims are named after them. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  podName: string | undefined,
  path: string,
): FieldError[] {
  const names = new Set<string>();
  return each(volumes, path, (volume, at) => {
    const errors = validateVolume(volume, podName, at);
    if (isEmpty(volume.name)) errors.push(required(`${at}.name`));
    else {
      errors.push(...dnsLabel(volume.name, `${at}.name`));
      if (names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
      names.add(volume.name);
    }
    return errors;
  });
}
