import type { ProjectedVolumeSource, VolumeProjection } from "../../types/core-v1.ts";
import { type FieldError, forbidden, invalid, isEmpty, required } from "../../validation/rules.ts";
import { validateLabelSelector } from "../../validation/selectors.ts";
import { validateDownwardFile, validateItem, validateMode, validateVolumeFilePath } from "./volume-files.ts";

const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

type TokenProjection = NonNullable<VolumeProjection["serviceAccountToken"]>;
type TrustBundleProjection = NonNullable<VolumeProjection["clusterTrustBundle"]>;

/** The path of a token is checked as if it were the volume's: that is where upstream reports it. */
function validateToken(token: TokenProjection, path: string, volumePath: string): FieldError[] {
  const errors: FieldError[] = [];
  const seconds = token.expirationSeconds ?? 0;
  const at = `${path}.expirationSeconds`;
  if (seconds < MIN_TOKEN_SECONDS) {
    errors.push(invalid(at, seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > MAX_TOKEN_SECONDS) {
    errors.push(invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  if (isEmpty(token.path)) return [...errors, required(`${volumePath}.path`)];
  return [...errors, ...validateVolumeFilePath(token.path, `${volumePath}.path`)];
}

function validateTrustBundle(bundle: TrustBundleProjection, path: string): FieldError[] {
  const { name, signerName, labelSelector, path: file } = bundle;
  const errors: FieldError[] = [];
  if (name !== undefined && signerName !== undefined) {
    errors.push(invalid(path, bundle, "only one of name and signerName may be used"));
  } else if (name !== undefined) {
    if (name === "") errors.push(required(`${path}.name`, "must be a valid object name"));
    if (labelSelector !== undefined) {
      const why = "labelSelector must be unset if name is specified";
      errors.push(invalid(`${path}.labelSelector`, labelSelector, why));
    }
  } else if (signerName !== undefined) {
    if (signerName === "") errors.push(required(`${path}.signerName`, "must be a valid signer name"));
    errors.push(...validateLabelSelector(labelSelector, `${path}.labelSelector`));
  } else errors.push(required(path, "either name or signerName must be specified"));
  if (isEmpty(file)) return [...errors, required(`${path}.path`)];
  return [...errors, ...validateVolumeFilePath(file, `${path}.path`)];
}

/** The volume's projections; no two of them may write the same file. */
function validateSources(source: ProjectedVolumeSource, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  /** `shown` is what upstream calls the culprit. */
  const take = (file: string | undefined, shown: string) => {
    if (isEmpty(file)) return;
    if (taken.has(file!)) errors.push(invalid(path, shown, "conflicting duplicate paths"));
    taken.add(file!);
  };
  for (const [index, projection] of (source.sources ?? []).entries()) {
    const at = `${path}.sources[${index}]`;
    for (const type of ["secret", "configMap"] as const) {
      const files = projection[type];
      if (files === undefined) continue;
      if (isEmpty(files.name)) errors.push(required(`${at}.${type}.name`));
      for (const [position, item] of (files.items ?? []).entries()) {
        errors.push(...validateItem(item, `${at}.${type}.items[${position}]`));
        take(item.path, files.name ?? "");
      }
    }
    for (const file of projection.downwardAPI?.items ?? []) {
      errors.push(...validateDownwardFile(file, `${at}.downwardAPI`));
      take(file.path, file.path);
    }
    const { serviceAccountToken: token, clusterTrustBundle: bundle, podCertificate } = projection;
    if (token !== undefined) errors.push(...validateToken(token, `${at}.serviceAccountToken`, path));
    if (bundle !== undefined) {
      errors.push(...validateTrustBundle(bundle, `${at}.clusterTrustBundle`));
      take(bundle.path, bundle.path);
    }
    if (podCertificate !== undefined && isEmpty(podCertificate.signerName)) {
      errors.push(required(`${at}.podCertificate.signerName`));
    }
    if (Object.values(projection).filter((value) => value !== undefined).length > 1) {
      errors.push(forbidden(at, "may not specify more than 1 volume type per source"));
    }
  }
  return errors;
}

export function validateProjected(source: ProjectedVolumeSource, path: string): FieldError[] {
  return [...validateMode(source.defaultMode, `${path}.defaultMode`), ...validateSources(source, path)];
}
