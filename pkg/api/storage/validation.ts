import { isQualifiedName } from "#pkg/apimachinery/index.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttachmentSource,
  VolumeAttributesClass,
} from "../types/storage-v1.ts";
import type { TopologySelectorTerm } from "../types/core-v1.ts";
import { validateDriverName } from "../core/validation/volume-sources.ts";
import { validatePersistentVolumeSpec } from "../core/validation/volumes-persistent.ts";
import {
  allInvalid,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  inRange,
  invalid,
  isEmpty,
  nonNegative,
  nonNegativeQuantity,
  notSupported,
  given,
  oneOf,
  qualifiedName,
  required,
  sameValue,
  tooLong,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";

const MAX_PARAMETERS = 512;
const MAX_PARAMETER_BYTES = 256 * 1024;

function validateParameters(parameters: Readonly<Record<string, string>> | undefined): FieldError[] {
  const entries = Object.entries(parameters ?? {});
  const errors: FieldError[] = [];
  if (entries.length > MAX_PARAMETERS) errors.push(tooLong("parameters", MAX_PARAMETERS));
  let size = 0;
  for (const [key, value] of entries) {
    if (key === "") errors.push(invalid("parameters", key, "field can not be empty."));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > MAX_PARAMETER_BYTES) errors.push(tooLong("parameters", MAX_PARAMETER_BYTES));
  return errors;
}

/** Requirements of a term, each for a key of its own; `terms` are those before it, as keys and sorted values. */
function validateTopology(term: TopologySelectorTerm, path: string, terms: Map<string, string>[]): FieldError[] {
  const at = `${path}.matchLabelExpressions`;
  const needs = new Map<string, string>();
  const errors = each(term.matchLabelExpressions, at, ({ key = "", values = [] }, item) => {
    const seen = new Set<string>();
    const found: FieldError[] = values.length === 0 ? [required(`${item}.values`)] : [];
    for (const [index, value] of values.entries()) {
      if (seen.has(value)) found.push(duplicate(`${item}.values[${index}]`, value));
      seen.add(value);
    }
    found.push(...qualifiedName(key, `${item}.key`));
    if (needs.has(key)) found.push(duplicate(`${item}.key`, key));
    needs.set(key, JSON.stringify([...seen].sort()));
    return found;
  });
  const same = terms.filter((other) => sameValue(Object.fromEntries(other), Object.fromEntries(needs)));
  terms.push(needs);
  return [...errors, ...same.map(() => duplicate(at, ""))];
}

export function validateStorageClass(storageClass: StorageClass): FieldError[] {
  const errors: FieldError[] = [];
  const { provisioner = "" } = storageClass;
  if (provisioner === "") errors.push(required("provisioner"));
  else errors.push(...allInvalid("provisioner", provisioner, isQualifiedName(provisioner.toLowerCase())));
  errors.push(...validateParameters(storageClass.parameters));
  errors.push(...oneOf(storageClass.reclaimPolicy, ["Delete", "Retain"], "reclaimPolicy", true));
  errors.push(...given(storageClass.volumeBindingMode, ["Immediate", "WaitForFirstConsumer"], "volumeBindingMode"));
  // Upstream compares with as many empty terms: one that asks for nothing is refused.
  const terms = (storageClass.allowedTopologies ?? []).map(() => new Map<string, string>());
  return [
    ...errors,
    ...each(storageClass.allowedTopologies, "allowedTopologies", (term, at) => validateTopology(term, at, terms)),
  ];
}

export function validateStorageClassUpdate(storageClass: StorageClass, old: Readonly<StorageClass>): FieldError[] {
  const errors = validateStorageClass(storageClass);
  if (!sameValue(storageClass.parameters, old.parameters)) {
    errors.push(forbidden("parameters", "updates to parameters are forbidden."));
  }
  if (storageClass.provisioner !== old.provisioner) {
    errors.push(forbidden("provisioner", "updates to provisioner are forbidden."));
  }
  if (storageClass.reclaimPolicy !== old.reclaimPolicy) {
    errors.push(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."));
  }
  return [...errors, ...immutable(storageClass.volumeBindingMode, old.volumeBindingMode, "volumeBindingMode")];
}

const LIFECYCLE_MODES = ["Persistent", "Ephemeral"];
const MIN_TOKEN_SECONDS = 600;

/** Of the name upstream asks no more than of any object's, although drivers are to have shorter ones. */
export function validateCSIDriver({ spec }: CSIDriver): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["attachRequired", "podInfoOnMount", "storageCapacity"] as const) {
    if (spec[field] === undefined) errors.push(required(`spec.${field}`));
  }
  errors.push(...given(spec.fsGroupPolicy, ["File", "None", "ReadWriteOnceWithFSType"], "spec.fsGroupPolicy"));
  const audiences = new Set<string>();
  errors.push(
    ...each(spec.tokenRequests, "spec.tokenRequests", ({ audience = "", expirationSeconds }, at) => {
      const found: FieldError[] = [];
      if (audiences.has(audience)) found.push(duplicate(`${at}.audience`, audience));
      audiences.add(audience);
      if (expirationSeconds === undefined) return found;
      if (expirationSeconds < MIN_TOKEN_SECONDS) {
        found.push(
          invalid(`${at}.expirationSeconds`, expirationSeconds, "may not specify a duration less than 10 minutes"),
        );
      }
      return [...found, ...inRange(expirationSeconds, -(2 ** 53), 2 ** 32, `${at}.expirationSeconds`)];
    }),
    ...each(spec.volumeLifecycleModes, "spec.volumeLifecycleModes", (mode) =>
      LIFECYCLE_MODES.includes(mode) ? [] : [notSupported("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)],
    ),
  );
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  if (period !== undefined && period < 10) {
    errors.push(
      invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds"),
    );
  }
  return errors;
}

export function validateCSIDriverUpdate(driver: CSIDriver, old: Readonly<CSIDriver>): FieldError[] {
  return [
    ...validateCSIDriver(driver),
    ...immutable(driver.spec.attachRequired, old.spec.attachRequired, "spec.attachedRequired"),
    ...immutable(driver.spec.volumeLifecycleModes, old.spec.volumeLifecycleModes, "spec.volumeLifecycleModes"),
  ];
}

const MAX_NODE_ID = 192;

export function validateCSINode({ spec }: CSINode): FieldError[] {
  const names = new Set<string>();
  return each(spec.drivers, "spec.drivers", ({ name, nodeID = "", allocatable, topologyKeys }, at) => {
    const errors = validateDriverName(name, `${at}.name`);
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (nodeID === "") errors.push(required(`${at}.nodeID`));
    if (nodeID.length > MAX_NODE_ID)
      errors.push(invalid(`${at}.nodeID`, nodeID, `must be ${MAX_NODE_ID} characters or less`));
    errors.push(...nonNegative(allocatable?.count, `${at}.allocatable.count`));
    const keys = new Set<string>();
    for (const key of topologyKeys ?? []) {
      if (key === "") errors.push(required(at));
      if (keys.has(key)) errors.push(duplicate(at, key));
      keys.add(key);
      errors.push(...allInvalid(at, topologyKeys, isQualifiedName(key)));
    }
    return errors;
  });
}

export function validateCSINodeUpdate(node: CSINode, old: Readonly<CSINode>): FieldError[] {
  const errors = validateCSINode(node);
  for (const before of old.spec.drivers ?? []) {
    const after = (node.spec.drivers ?? []).find(({ name }) => name === before.name);
    if (after === undefined) continue;
    const { allocatable: _now, ...rest } = after;
    const { allocatable: _was, ...had } = before;
    if (!sameValue(rest, had)) errors.push(invalid("spec.drivers", after, "field is immutable"));
  }
  return errors;
}

function validateAttachmentSource(source: VolumeAttachmentSource, path: string): FieldError[] {
  const { persistentVolumeName, inlineVolumeSpec } = source;
  const exactlyOne = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (inlineVolumeSpec !== undefined && persistentVolumeName !== undefined) return [forbidden(path, exactlyOne)];
  if (inlineVolumeSpec !== undefined) {
    return validatePersistentVolumeSpec(inlineVolumeSpec, "", `${path}.inlineVolumeSpec`, true);
  }
  if (persistentVolumeName === undefined) return [required(path, exactlyOne)];
  const at = `${path}.persistentVolumeName`;
  return persistentVolumeName === "" ? [required(at, "must specify non empty persistentVolumeName")] : [];
}

/** New attachments are held to what those made under older versions need not have kept. */
export function validateVolumeAttachment(attachment: VolumeAttachment): FieldError[] {
  const { attacher, source } = attachment.spec;
  const name = source?.persistentVolumeName;
  return [
    ...validatePresentAttachment(attachment),
    ...(isEmpty(attacher) ? dnsSubdomain("", "spec.attacher") : validateDriverName(attacher, "spec.attacher")),
    ...(name === undefined ? [] : dnsSubdomain(name, "spec.source.persistentVolumeName")),
  ];
}

function validatePresentAttachment({ spec, status }: VolumeAttachment): FieldError[] {
  const errors = isEmpty(spec.attacher) ? [required("spec.attacher")] : [];
  errors.push(...validateAttachmentSource(spec.source ?? {}, "spec.source"));
  errors.push(...dnsSubdomain(spec.nodeName ?? "", "spec.nodeName"));
  let size = 0;
  for (const [key, value] of Object.entries(status?.attachmentMetadata ?? {})) size += key.length + value.length;
  if (size > MAX_PARAMETER_BYTES) errors.push(tooLong("status.attachmentMetadata", MAX_PARAMETER_BYTES));
  return errors;
}

export function validateVolumeAttachmentUpdate(
  attachment: VolumeAttachment,
  old: Readonly<VolumeAttachment>,
): FieldError[] {
  const errors = validatePresentAttachment(attachment);
  if (!sameValue(attachment.spec, old.spec)) errors.push(invalid("spec", attachment.spec, "field is immutable"));
  return errors;
}

export function validateCSIStorageCapacity(capacity: CSIStorageCapacity): FieldError[] {
  const errors = isEmpty(capacity.storageClassName)
    ? [required("storageClassName")]
    : dnsSubdomain(capacity.storageClassName, "storageClassName");
  for (const field of ["capacity", "maximumVolumeSize"] as const) {
    if (capacity[field] !== undefined) errors.push(...nonNegativeQuantity(capacity[field], field));
  }
  return [...errors, ...validateLabelSelector(capacity.nodeTopology, "nodeTopology")];
}

export function validateCSIStorageCapacityUpdate(
  capacity: CSIStorageCapacity,
  old: Readonly<CSIStorageCapacity>,
): FieldError[] {
  return [
    ...validateCSIStorageCapacity(capacity),
    ...immutable(capacity.nodeTopology, old.nodeTopology, "nodeTopology"),
    ...immutable(capacity.storageClassName, old.storageClassName, "storageClassName"),
  ];
}

export function validateVolumeAttributesClass(attributes: VolumeAttributesClass): FieldError[] {
  const errors = validateDriverName(attributes.driverName, "driverName");
  if (Object.keys(attributes.parameters ?? {}).length === 0) {
    errors.push(required("parameters", "must contain at least one key/value pair"));
  }
  return [...errors, ...validateParameters(attributes.parameters)];
}

export function validateVolumeAttributesClassUpdate(
  attributes: VolumeAttributesClass,
  old: Readonly<VolumeAttributesClass>,
): FieldError[] {
  const errors = immutable(attributes.driverName, old.driverName, "driverName");
  if (!sameValue(attributes.parameters, old.parameters)) {
    errors.push(forbidden("parameters", "updates to parameters are forbidden."));
  }
  return errors;
}
