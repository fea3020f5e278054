import { allContainers, containersNamed, plural, quoted } from "./helpers.ts";
import type { Check, Violation } from "./policy.ts";

const sorted = (values: Iterable<string>): string[] => [...new Set(values)].sort();

/** `pod`, `container "a"`, or both joined. */
function setters(onPod: boolean, containers: readonly string[]): string[] {
  return [...(onPod ? ["pod"] : []), ...(containers.length === 0 ? [] : [containersNamed(containers)])];
}

const allowedAppArmor = (type: string | undefined): boolean =>
  type === undefined || type === "RuntimeDefault" || type === "Localhost";

const appArmor: Check = (pod) => {
  const podType = pod.spec?.securityContext?.appArmorProfile?.type;
  const containers = allContainers(pod).filter(
    ({ securityContext }) => !allowedAppArmor(securityContext?.appArmorProfile?.type),
  );
  const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key, value]) => {
    if (!key.startsWith("container.apparmor.security.beta.kubernetes.io/")) return false;
    return value !== "" && value !== "runtime/default" && !value.startsWith("localhost/");
  });
  const who = setters(
    !allowedAppArmor(podType),
    containers.map(({ name }) => name),
  );
  if (annotations.length > 0) who.push(plural("annotation", annotations.length));
  if (who.length === 0) return undefined;
  const types = [podType, ...containers.map(({ securityContext }) => securityContext?.appArmorProfile?.type)];
  const values = sorted([
    ...types.filter((type) => !allowedAppArmor(type)).map(String),
    ...annotations.map(([key, value]) => `${key}=${JSON.stringify(value)}`),
  ]);
  return {
    reason: plural("forbidden AppArmor profile", values.length),
    // What an annotation says has quotes of its own, and they stay as they are.
    detail: `${who.join(" and ")} must not set AppArmor profile type to "${values.join('", "')}"`,
  };
};

const BASELINE_CAPABILITIES = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);

const capabilitiesBaseline: Check = (pod) => {
  const bad: string[] = [];
  const capabilities: string[] = [];
  for (const { name, securityContext } of allContainers(pod)) {
    const forbidden = (securityContext?.capabilities?.add ?? []).filter(
      (capability) => !BASELINE_CAPABILITIES.has(capability),
    );
    if (forbidden.length === 0) continue;
    bad.push(name);
    capabilities.push(...forbidden);
  }
  if (bad.length === 0) return undefined;
  return {
    reason: "non-default capabilities",
    detail: `${containersNamed(bad)} must not include ${quoted(sorted(capabilities))} in securityContext.capabilities.add`,
  };
};

const hostNamespaces: Check = (pod) => {
  const { hostNetwork, hostPID, hostIPC } = pod.spec ?? {};
  const set = [
    hostNetwork === true && "hostNetwork=true",
    hostPID === true && "hostPID=true",
    hostIPC === true && "hostIPC=true",
  ].filter((s) => s !== false);
  return set.length === 0 ? undefined : { reason: "host namespaces", detail: set.join(", ") };
};

const hostPathVolumes: Check = (pod) => {
  const bad = (pod.spec?.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  return bad.length === 0
    ? undefined
    : { reason: "hostPath volumes", detail: `${plural("volume", bad.length)} ${quoted(bad)}` };
};

const hostPorts: Check = (pod) => {
  const bad: string[] = [];
  const ports: number[] = [];
  for (const { name, ports: own = [] } of allContainers(pod)) {
    const used = own.map(({ hostPort }) => hostPort ?? 0).filter((port) => port !== 0);
    if (used.length === 0) continue;
    bad.push(name);
    ports.push(...used);
  }
  if (bad.length === 0) return undefined;
  const distinct = sorted(ports.map(String));
  return {
    reason: "hostPort",
    detail: `${containersNamed(bad)} ${bad.length === 1 ? "uses" : "use"} ${plural("hostPort", distinct.length)} ${distinct.join(", ")}`,
  };
};

/** Since v1.34: probes and hooks may not make the kubelet talk to other hosts. */
const hostProbes: Check = (pod, version) => {
  if (version !== "latest" && version < 34) return undefined;
  const bad: string[] = [];
  const hosts: string[] = [];
  for (const container of allContainers(pod)) {
    const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
    const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop];
    const used = handlers
      .flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host])
      .filter((host) => (host ?? "") !== "" && host !== "127.0.0.1" && host !== "::1");
    if (used.length === 0) continue;
    bad.push(container.name);
    hosts.push(...used.map(String));
  }
  if (bad.length === 0) return undefined;
  const distinct = sorted(hosts);
  return {
    reason: "probe or lifecycle host",
    detail: `${containersNamed(bad)} ${bad.length === 1 ? "uses" : "use"} probe or lifecycle ${plural("host", distinct.length)} ${quoted(distinct)}`,
  };
};

const privileged: Check = (pod) => {
  const bad = allContainers(pod)
    .filter(({ securityContext }) => securityContext?.privileged === true)
    .map(({ name }) => name);
  return bad.length === 0
    ? undefined
    : { reason: "privileged", detail: `${containersNamed(bad)} must not set securityContext.privileged=true` };
};

const procMount: Check = (pod, version) => {
  // Since v1.35 the mask may be lifted inside a user namespace.
  if (pod.spec?.hostUsers === false && (version === "latest" || version >= 35)) return undefined;
  const found = allContainers(pod).filter(
    ({ securityContext }) => (securityContext?.procMount ?? "Default") !== "Default",
  );
  if (found.length === 0) return undefined;
  const values = sorted(found.map(({ securityContext }) => String(securityContext!.procMount)));
  return {
    reason: "procMount",
    detail: `${containersNamed(found.map(({ name }) => name))} must not set securityContext.procMount to ${quoted(values)}`,
  };
};

const seccompBaseline: Check = (pod) => {
  const podType = pod.spec?.securityContext?.seccompProfile?.type;
  const bad = allContainers(pod)
    .filter(({ securityContext }) => securityContext?.seccompProfile?.type === "Unconfined")
    .map(({ name }) => name);
  const who = setters(podType === "Unconfined", bad);
  if (who.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail: `${who.join(" and ")} must not set securityContext.seccompProfile.type to "Unconfined"`,
  };
};

const SELINUX_TYPES = new Set(["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"]);

const seLinux: Check = (pod): Violation | undefined => {
  const contexts = [
    { name: undefined, options: pod.spec?.securityContext?.seLinuxOptions },
    ...allContainers(pod).map(({ name, securityContext }) => ({ name, options: securityContext?.seLinuxOptions })),
  ].filter(
    ({ options }) =>
      !SELINUX_TYPES.has(options?.type ?? "") || (options?.user ?? "") !== "" || (options?.role ?? "") !== "",
  );
  if (contexts.length === 0) return undefined;
  const who = setters(
    contexts.some(({ name }) => name === undefined),
    contexts.flatMap(({ name }) => name ?? []),
  );
  const types = sorted(contexts.map(({ options }) => options?.type ?? "").filter((type) => !SELINUX_TYPES.has(type)));
  const what = [
    ...(types.length === 0 ? [] : [`${plural("type", types.length)} ${quoted(types)}`]),
    ...(contexts.some(({ options }) => (options?.user ?? "") !== "") ? ["user may not be set"] : []),
    ...(contexts.some(({ options }) => (options?.role ?? "") !== "") ? ["role may not be set"] : []),
  ];
  return {
    reason: "seLinuxOptions",
    detail: `${who.join(" and ")} set forbidden securityContext.seLinuxOptions: ${what.join("; ")}`,
  };
};

const SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
];
const SYSCTLS_SINCE: Readonly<Record<string, number>> = {
  "net.ipv4.ip_local_reserved_ports": 27,
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_fin_timeout": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_rmem": 32,
  "net.ipv4.tcp_wmem": 32,
};

const sysctls: Check = (pod, version) => {
  const allowed = (name: string): boolean =>
    SYSCTLS.includes(name) ||
    (SYSCTLS_SINCE[name] !== undefined && (version === "latest" || version >= SYSCTLS_SINCE[name]));
  const bad = (pod.spec?.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed(name));
  return bad.length === 0 ? undefined : { reason: plural("forbidden sysctl", bad.length), detail: bad.join(", ") };
};

const windowsHostProcess: Check = (pod) => {
  const onPod = pod.spec?.securityContext?.windowsOptions?.hostProcess === true;
  const bad = allContainers(pod)
    .filter(({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true)
    .map(({ name }) => name);
  const who = setters(onPod, bad);
  if (who.length === 0) return undefined;
  return {
    reason: "hostProcess",
    detail: `${who.join(" and ")} must not set securityContext.windowsOptions.hostProcess=true`,
  };
};

/** Checks of the baseline level that the restricted level keeps as they are. */
export const sharedChecks: readonly Check[] = [
  appArmor,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbes,
  privileged,
  procMount,
  seLinux,
  sysctls,
  windowsHostProcess,
];

export const baselineChecks: readonly Check[] = [
  appArmor,
  capabilitiesBaseline,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbes,
  privileged,
  procMount,
  seccompBaseline,
  seLinux,
  sysctls,
  windowsHostProcess,
];
