import type { Pod, Volume } from "#pkg/api/types/core-v1.ts";
import { sharedChecks } from "./baseline.ts";
import { allContainers, containersNamed, isWindows, plural, quoted } from "./helpers.ts";
import type { Check } from "./policy.ts";

/** Rules that make no sense on Windows are skipped there since v1.25. */
const skipsWindows = (pod: Pod, version: "latest" | number): boolean =>
  isWindows(pod) && (version === "latest" || version >= 25);

/** Inside a user namespace root is harmless: relaxed since v1.35. */
const inUserNamespace = (pod: Pod, version: "latest" | number): boolean =>
  pod.spec?.hostUsers === false && (version === "latest" || version >= 35);

const allowPrivilegeEscalation: Check = (pod, version) => {
  if (skipsWindows(pod, version)) return undefined;
  const bad = allContainers(pod)
    .filter(({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false)
    .map(({ name }) => name);
  if (bad.length === 0) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${containersNamed(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

const capabilities: Check = (pod, version) => {
  if (skipsWindows(pod, version)) return undefined;
  const missing: string[] = [];
  const adding: string[] = [];
  const added = new Set<string>();
  for (const { name, securityContext } of allContainers(pod)) {
    const { drop = [], add = [] } = securityContext?.capabilities ?? {};
    if (!drop.includes("ALL")) missing.push(name);
    const forbidden = add.filter((capability) => capability !== "NET_BIND_SERVICE");
    if (forbidden.length > 0) adding.push(name);
    for (const capability of forbidden) added.add(capability);
  }
  const details = [
    ...(missing.length === 0 ? [] : [`${containersNamed(missing)} must set securityContext.capabilities.drop=["ALL"]`]),
    ...(adding.length === 0
      ? []
      : [
          `${containersNamed(adding)} must not include ${quoted([...added].sort())} in securityContext.capabilities.add`,
        ]),
  ];
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
};

const RESTRICTED_VOLUMES = new Set([
  "configMap",
  "downwardAPI",
  "emptyDir",
  "projected",
  "secret",
  "csi",
  "persistentVolumeClaim",
  "ephemeral",
  "image",
]);

function volumeType(volume: Volume): string {
  return (
    Object.keys(volume).find(
      (key) => key !== "name" && (volume as unknown as Record<string, unknown>)[key] !== undefined,
    ) ?? "emptyDir"
  );
}

const restrictedVolumes: Check = (pod) => {
  const bad = (pod.spec?.volumes ?? [])
    .map((volume) => ({ name: volume.name, type: volumeType(volume) }))
    .filter(({ type }) => !RESTRICTED_VOLUMES.has(type));
  if (bad.length === 0) return undefined;
  const types = [...new Set(bad.map(({ type }) => type))].sort();
  const names = bad.map(({ name }) => name);
  return {
    reason: "restricted volume types",
    detail: `${plural("volume", names.length)} ${quoted(names)} ${names.length === 1 ? "uses" : "use"} restricted volume ${plural("type", types.length)} ${quoted(types)}`,
  };
};

const runAsNonRoot: Check = (pod, version) => {
  if (inUserNamespace(pod, version)) return undefined;
  const onPod = pod.spec?.securityContext?.runAsNonRoot;
  const explicit: string[] = [];
  const implicit: string[] = [];
  for (const { name, securityContext } of allContainers(pod)) {
    if (securityContext?.runAsNonRoot === false) explicit.push(name);
    else if (securityContext?.runAsNonRoot === undefined && onPod !== true) implicit.push(name);
  }
  if (explicit.length > 0 || (onPod === false && implicit.length > 0)) {
    const who = [
      ...(onPod === false && implicit.length > 0 ? ["pod"] : []),
      ...(explicit.length > 0 ? [containersNamed(explicit)] : []),
    ];
    return {
      reason: "runAsNonRoot != true",
      detail: `${who.join(" and ")} must not set securityContext.runAsNonRoot=false`,
    };
  }
  if (implicit.length === 0) return undefined;
  return {
    reason: "runAsNonRoot != true",
    detail: `pod or ${containersNamed(implicit)} must set securityContext.runAsNonRoot=true`,
  };
};

/** Since v1.23. */
const runAsUser: Check = (pod, version) => {
  if ((version !== "latest" && version < 23) || inUserNamespace(pod, version)) return undefined;
  const bad = allContainers(pod)
    .filter(({ securityContext }) => securityContext?.runAsUser === 0)
    .map(({ name }) => name);
  const who = [
    ...(pod.spec?.securityContext?.runAsUser === 0 ? ["pod"] : []),
    ...(bad.length > 0 ? [containersNamed(bad)] : []),
  ];
  return who.length === 0
    ? undefined
    : { reason: "runAsUser=0", detail: `${who.join(" and ")} must not set runAsUser=0` };
};

const seccompRestricted: Check = (pod, version) => {
  if (skipsWindows(pod, version)) return undefined;
  const good = (type: string | undefined): boolean => type === "RuntimeDefault" || type === "Localhost";
  const podType = pod.spec?.securityContext?.seccompProfile?.type;
  const explicit: string[] = [];
  const implicit: string[] = [];
  for (const { name, securityContext } of allContainers(pod)) {
    const type = securityContext?.seccompProfile?.type;
    if (type !== undefined && !good(type)) explicit.push(name);
    else if (type === undefined && !good(podType)) implicit.push(name);
  }
  const podBad = podType !== undefined && !good(podType) && implicit.length > 0;
  if (explicit.length > 0 || podBad) {
    const who = [...(podBad ? ["pod"] : []), ...(explicit.length > 0 ? [containersNamed(explicit)] : [])];
    return {
      reason: "seccompProfile",
      detail: `${who.join(" and ")} must not set securityContext.seccompProfile.type to "Unconfined"`,
    };
  }
  if (implicit.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail: `pod or ${containersNamed(implicit)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
};

/** Restricted includes baseline, which comes first; its own capability and seccomp rules replace baseline's. */
export const restrictedChecks: readonly Check[] = [
  ...sharedChecks,
  allowPrivilegeEscalation,
  capabilities,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompRestricted,
];
