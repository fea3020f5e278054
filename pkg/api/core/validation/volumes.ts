import { isDns1123Subdomain } from "#pkg/apimachinery/index.ts";
import type { Volume } from "../../types/core-v1.ts";
import { dnsLabel, duplicate, type FieldError, forbidden, invalid, isEmpty, required } from "../../validation/rules.ts";
import { SOURCE_RULES, validateIscsiInterface } from "./volume-sources.ts";

type SourceType = keyof typeof SOURCE_RULES;
const SOURCE_TYPES = Object.keys(SOURCE_RULES) as SourceType[];

/** Where upstream spells a type differently when it is one too many. */
const SPELLED: Readonly<Partial<Record<SourceType, string>>> = { cephfs: "cephFS", downwardAPI: "downwarAPI" };

function validateSource(volume: Volume, type: SourceType, path: string): FieldError[] {
  // The rule found under a type takes what the volume has under it.
  const rule = SOURCE_RULES[type] as (source: object, path: string) => FieldError[];
  return rule(volume[type]!, `${path}.${type}`);
}

function validateVolume(volume: Volume, podName: string | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let found = false;
  for (const type of SOURCE_TYPES) {
    if (volume[type] === undefined) continue;
    if (found) errors.push(forbidden(`${path}.${SPELLED[type] ?? type}`, "may not specify more than 1 volume type"));
    else errors.push(...validateSource(volume, type, path));
    if (type === "iscsi") errors.push(...validateIscsiInterface(volume.iscsi!, volume.name, `${path}.name`));
    if (type === "ephemeral" && !found) errors.push(...validateClaimName(volume, podName, path));
    found = true;
  }
  return found ? errors : [required(path, "must specify a volume type")];
}

/** An ephemeral volume's claim is named after pod and volume. */
function validateClaimName(volume: Volume, podName: string | undefined, path: string): FieldError[] {
  if (isEmpty(podName) || isEmpty(volume.name)) return [];
  const claim = `${podName}-${volume.name}`;
  return isDns1123Subdomain(claim).map((message) =>
    invalid(`${path}.name`, volume.name, `PVC name ${JSON.stringify(claim)}: ${message}`),
  );
}

/** Errors of a pod's volumes, and those that are right: a mount of any other is an error of its own. */
export interface CheckedVolumes {
  readonly errors: FieldError[];
  readonly valid: ReadonlyMap<string, Volume>;
}

/** Volumes of a pod. `podName` is given for Pods, whose ephemeral claims are named after them. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  podName: string | undefined,
  path: string,
): CheckedVolumes {
  const errors: FieldError[] = [];
  const valid = new Map<string, Volume>();
  const created = new Set<string>();
  if (!isEmpty(podName)) {
    for (const { name, ephemeral } of volumes ?? []) if (ephemeral !== undefined) created.add(`${podName}-${name}`);
  }
  for (const [index, volume] of (volumes ?? []).entries()) {
    const at = `${path}[${index}]`;
    const found = validateVolume(volume, podName, at);
    if (isEmpty(volume.name)) found.push(required(`${at}.name`));
    else found.push(...dnsLabel(volume.name, `${at}.name`));
    if (valid.has(volume.name)) found.push(duplicate(`${at}.name`, volume.name));
    if (found.length === 0) valid.set(volume.name, volume);
    else errors.push(...found);
    const claim = volume.persistentVolumeClaim?.claimName;
    if (claim !== undefined && created.has(claim)) {
      const why = "must not reference a PVC that gets created for an ephemeral volume";
      errors.push(invalid(`${at}.persistentVolumeClaim.claimName`, claim, why));
    }
  }
  return { errors, valid };
}
