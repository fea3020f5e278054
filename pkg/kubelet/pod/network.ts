/** Names inside a pod, and its addresses: host name, /etc/hosts, resolv.conf. Pure; callers write the files. */
import { isIP } from "node:net";
import type { Pod } from "#pkg/api/types/core-v1.ts";

/** glibc's and upstream's limits. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;

/** What a resolv.conf says. */
export interface DnsSettings {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** What counts of the addresses that a network has given a pod: one of each family, that of the node's first one before. */
export function podAddresses(ips: readonly string[], nodeIP: string | undefined): string[] {
  const families = isIP(nodeIP ?? "") === 6 ? [6, 4] : [4, 6];
  return families.map((family) => ips.find((ip) => isIP(ip) === family)).filter((ip) => ip !== undefined);
}

/** Reads a resolv.conf; of search and options the last line counts (resolv.conf(5)). */
export function parseResolvConf(text: string): DnsSettings {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) servers.push(values[0]);
    else if (keyword === "search")
      searches = values.map((domain) => (domain === "." ? domain : domain.replace(/\.$/, "")));
    else if (keyword === "options") options = [...options, ...values];
  }
  return { servers, searches, options };
}

function merge(base: DnsSettings, { dnsConfig }: Pod["spec"]): DnsSettings {
  if (dnsConfig === undefined) return base;
  const options = new Map(base.options.map((option) => [option.split(":")[0]!, option]));
  for (const { name = "", value } of dnsConfig.options ?? [])
    options.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  return {
    servers: [...new Set([...base.servers, ...(dnsConfig.nameservers ?? [])])],
    searches: [...new Set([...base.searches, ...(dnsConfig.searches ?? [])])],
    options: [...options.values()],
  };
}

/** A pod's resolver settings within the limits of its C library. */
export interface PodDns {
  readonly settings: DnsSettings;
  /** What the limits left out, in words. */
  readonly omissions: readonly string[];
}

function limit({ servers, searches, options }: DnsSettings): PodDns {
  const kept: string[] = [];
  let chars = 0;
  for (const search of searches.slice(0, MAX_SEARCHES)) {
    chars += search.length + (kept.length > 0 ? 1 : 0);
    if (chars > MAX_SEARCH_CHARS) break;
    kept.push(search);
  }
  const settings = { servers: servers.slice(0, MAX_NAMESERVERS), searches: kept, options };
  const omissions: string[] = [];
  if (servers.length > MAX_NAMESERVERS)
    omissions.push(
      `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${settings.servers.join(" ")}`,
    );
  if (searches.length > kept.length)
    omissions.push(
      `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${kept.join(" ")}`,
    );
  return { settings, omissions };
}

/** `host` is the node's own resolv.conf. */
export function podDns(pod: Pod, host: DnsSettings, clusterDNS: readonly string[], clusterDomain: string): PodDns {
  const { dnsPolicy = "ClusterFirst", hostNetwork = false } = pod.spec;
  const wantsCluster = dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork);
  let base: DnsSettings = host;
  if (dnsPolicy === "None") base = { servers: [], searches: [], options: [] };
  else if (wantsCluster && clusterDNS.length > 0) {
    const namespace = pod.metadata.namespace ?? "";
    const cluster =
      clusterDomain === "" ? [] : [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
    base = { servers: clusterDNS, searches: [...new Set([...cluster, ...host.searches])], options: ["ndots:5"] };
  }
  return limit(merge(base, pod.spec));
}

/** A pod's name in DNS. */
export interface PodHostname {
  readonly hostname: string;
  /** The pod's domain below the cluster's, "" without a subdomain. */
  readonly domain: string;
}

/** Linux allows 64 characters in a host name, DNS labels 63. */
function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { hostname, subdomain, hostnameOverride } = pod.spec;
  if (hostnameOverride !== undefined && hostnameOverride !== "") return { hostname: hostnameOverride, domain: "" };
  const name =
    hostname !== undefined && hostname !== "" ? hostname : pod.metadata.name.slice(0, 63).replace(/[-.]+$/, "");
  const domain =
    subdomain === undefined || subdomain === ""
      ? ""
      : `${subdomain}.${pod.metadata.namespace ?? ""}.svc.${clusterDomain}`;
  return { hostname: name, domain };
}

export function sandboxHostname(pod: Pod, clusterDomain: string): string {
  const { hostname, domain } = podHostname(pod, clusterDomain);
  if (pod.spec.setHostnameAsFQDN !== true || domain === "") return hostname;
  const fqdn = `${hostname}.${domain}`;
  if (fqdn.length > 64)
    throw new Error(
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`,
    );
  return fqdn;
}

/** /etc/hosts of a pod. Pods on the host's network get the node's file, to which aliases are added. */
export function hostsFile(pod: Pod, podIPs: readonly string[], clusterDomain: string, nodeHosts: string): string {
  const aliases = (pod.spec.hostAliases ?? [])
    .map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join("\t")}\n`)
    .join("");
  const added = aliases === "" ? "" : `\n# Entries added by HostAliases.\n${aliases}`;
  if (pod.spec.hostNetwork === true) return `# Kubernetes-managed hosts file (host network).\n${nodeHosts}${added}`;
  const { hostname, domain } = podHostname(pod, clusterDomain);
  const own = podIPs
    .map((ip) => (domain === "" ? `${ip}\t${hostname}\n` : `${ip}\t${hostname}.${domain}\t${hostname}\n`))
    .join("");
  return [
    "# Kubernetes-managed hosts file.\n",
    "127.0.0.1\tlocalhost\n",
    "::1\tlocalhost ip6-localhost ip6-loopback\n",
    "fe00::0\tip6-localnet\n",
    "fe00::0\tip6-mcastprefix\n",
    "fe00::1\tip6-allnodes\n",
    "fe00::2\tip6-allrouters\n",
    own,
    added,
  ].join("");
}
