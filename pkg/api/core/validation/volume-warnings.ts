/** What is legal in volumes and claims, and will disappoint. */
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../../types/core-v1.ts";
import type { PodSpec, Volume, VolumeProjection } from "../../types/core-v1.ts";
import { nodeTermWarnings } from "../../validation/node-labels.ts";

/** Sources whose drivers are gone, by the names of their fields. */
const GONE: ReadonlyMap<string, string> = new Map([
  ["photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  ["gitRepo", "deprecated in v1.11"],
  ["scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  ["flocker", "deprecated in v1.22, non-functional in v1.25+"],
  ["storageos", "deprecated in v1.22, non-functional in v1.25+"],
  ["quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  ["glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  ["cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  ["rbd", "deprecated in v1.28, non-functional in v1.31+"],
]);
/** Of a persistent volume upstream names fewer. */
const GONE_PERSISTENT = ["cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"];
/** How upstream writes a field where its own name for it is another one. */
const SHOWN: ReadonlyMap<string, string> = new Map([["storageos", "storageOS"]]);

function goneSource(source: object, field: string, path: string): string[] {
  if ((source as Record<string, unknown>)[field] === undefined) return [];
  return [`${path}.${SHOWN.get(field) ?? field}: ${GONE.get(field)}`];
}

/** Amounts of bytes with a fraction. */
export function fractionWarnings(
  amounts: Readonly<Record<string, unknown>> | undefined,
  names: readonly string[],
  path: string,
): string[] {
  if (amounts === undefined) return [];
  return names.flatMap((name) => {
    const amount = amounts[name];
    if (amount === undefined || parseQuantity(String(amount)).isInteger()) return [];
    return [`${path}[${name}]: fractional byte value ${JSON.stringify(String(amount))} is invalid, must be an integer`];
  });
}

export function claimSpecWarnings(spec: PersistentVolumeClaimSpec | undefined, path: string): string[] {
  return (["requests", "limits"] as const).flatMap((list) =>
    fractionWarnings(spec?.resources?.[list], ["storage"], `${path}.resources.${list}`),
  );
}

const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";

function classAnnotationWarnings(annotations: Readonly<Record<string, string>> | undefined): string[] {
  if (annotations?.[CLASS_ANNOTATION] === undefined) return [];
  const instead = 'deprecated since v1.8; use "storageClassName" attribute instead';
  return [`metadata.annotations[${CLASS_ANNOTATION}]: ${instead}`];
}

export function claimWarnings({ metadata, spec }: PersistentVolumeClaim): string[] {
  return [...classAnnotationWarnings(metadata.annotations), ...claimSpecWarnings(spec, "spec")];
}

export function persistentVolumeWarnings({ metadata, spec = {} }: PersistentVolume): string[] {
  const warnings = classAnnotationWarnings(metadata.annotations);
  if (spec.persistentVolumeReclaimPolicy === "Recycle") {
    const instead = "Instead, the recommended approach is to use dynamic provisioning.";
    warnings.push(`spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. ${instead}`);
  }
  for (const [index, term] of (spec.nodeAffinity?.required?.nodeSelectorTerms ?? []).entries()) {
    warnings.push(...nodeTermWarnings(term, `spec.nodeAffinity.required.nodeSelectorTerms[${index}]`, true));
  }
  for (const field of GONE_PERSISTENT) warnings.push(...goneSource(spec, field, "spec"));
  return warnings;
}

/** Of the volumes of a pod. */
export function volumeWarnings({ volumes = [] }: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const [index, volume] of volumes.entries()) {
    const at = `${path}.volumes[${index}]`;
    for (const field of GONE.keys()) warnings.push(...goneSource(volume, field, at));
    const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
    if (claim !== undefined) warnings.push(...claimSpecWarnings(claim, `${at}.ephemeral.volumeClaimTemplate.spec`));
  }
  return [...warnings, ...volumes.flatMap(overlapWarnings)];
}

type Files = { readonly items?: readonly { readonly path?: string }[] | undefined };
const pathsOf = ({ items }: Files): string[] => (items ?? []).map(({ path }) => path ?? "");

/** Files of one volume that are to be at, or below, each other's places. */
function overlapWarnings({ name, configMap, secret, downwardAPI, projected }: Volume): string[] {
  const volume = `volume ${JSON.stringify(name)}`;
  const warnings: string[] = [];
  const check = (paths: readonly string[], what: string) => warnings.push(...overlaps(paths, `${volume} (${what})`));
  if (configMap?.items !== undefined) check(pathsOf(configMap), `ConfigMap ${JSON.stringify(configMap.name ?? "")}`);
  if (secret?.items !== undefined) check(pathsOf(secret), `Secret ${JSON.stringify(secret.secretName ?? "")}`);
  if (downwardAPI?.items !== undefined) check(pathsOf(downwardAPI), "DownwardAPI");
  const all = new Set<string>();
  for (const source of projected?.sources ?? []) {
    if (Object.keys(source).length === 0) {
      warnings.push(`${volume} (Projected) has no sources provided`);
      continue;
    }
    const { paths, what } = projectedFiles(source);
    check(paths, `Projected ${what}`);
    check([...new Set(paths), ...all].sort(), `Projected ${what}`);
    for (const path of paths) all.add(path);
  }
  return warnings;
}

function projectedFiles(source: VolumeProjection): { paths: string[]; what: string } {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source;
  if (configMap?.items !== undefined)
    return { paths: pathsOf(configMap), what: `ConfigMap ${JSON.stringify(configMap.name ?? "")}` };
  if (secret?.items !== undefined)
    return { paths: pathsOf(secret), what: `Secret ${JSON.stringify(secret.name ?? "")}` };
  if (downwardAPI?.items !== undefined) return { paths: pathsOf(downwardAPI), what: "DownwardAPI" };
  if (serviceAccountToken !== undefined)
    return { paths: [serviceAccountToken.path ?? ""], what: "ServiceAccountToken" };
  if (clusterTrustBundle === undefined) return { paths: [], what: "" };
  const bundle = clusterTrustBundle.name ?? clusterTrustBundle.signerName ?? "";
  return { paths: [clusterTrustBundle.path ?? ""], what: `ClusterTrustBundle ${JSON.stringify(bundle)}` };
}

function overlaps(paths: readonly string[], what: string): string[] {
  const warnings: string[] = [];
  const seen: string[] = [];
  for (const path of paths) {
    const own = path.replace(/\/+$/, "");
    // Upstream compares texts: "ab" and "a" are taken to be in each other's way.
    const other = seen.find(
      (one) => one !== "" && own !== "" && (`${one}/`.startsWith(own) || `${own}/`.startsWith(one)),
    );
    if (other !== undefined)
      warnings.push(`${what}: overlapping paths: ${JSON.stringify(own)} with ${JSON.stringify(other)}`);
    if (!seen.includes(own)) seen.push(own);
  }
  return warnings;
}
