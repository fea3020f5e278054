import { destination } from "../iptables/names.ts";
import type { Family, ServicePort } from "../model/types.ts";

/** One virtual server of IPVS. */
export interface VirtualServer {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** "10.0.0.1:80" or "[fd00::1]:80". */
  readonly address: string;
  readonly scheduler: string;
  /** Seconds a client sticks to its real server; 0: not at all. */
  readonly persistentSeconds: number;
  /** Real servers, as `address` is written. */
  readonly servers: ReadonlySet<string>;
}

/** Everything that ipvs mode keeps in the kernel for services. */
export interface IpvsState {
  /** "tcp 10.0.0.1:80" → server. */
  readonly servers: ReadonlyMap<string, VirtualServer>;
  /** Addresses of the dummy device: what makes packets for them local, which is where IPVS takes them. */
  readonly addresses: ReadonlySet<string>;
  /** ipset → entries. */
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

/** ipsets and their types; in IPv6 the names have "6-" after "KUBE-". */
export const IPVS_SETS = {
  "CLUSTER-IP": "hash:ip,port",
  "EXTERNAL-IP": "hash:ip,port",
  "EXTERNAL-IP-LOCAL": "hash:ip,port",
  "LOAD-BALANCER": "hash:ip,port",
  "LOAD-BALANCER-LOCAL": "hash:ip,port",
  "LOAD-BALANCER-FW": "hash:ip,port",
  "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
  "LOOP-BACK": "hash:ip,port,ip",
  "IPVS-IPS": "hash:ip",
  "NODE-PORT-TCP": "bitmap:port",
  "NODE-PORT-UDP": "bitmap:port",
  "NODE-PORT-SCTP": "bitmap:port",
  "NODE-PORT-LOCAL-TCP": "bitmap:port",
  "NODE-PORT-LOCAL-UDP": "bitmap:port",
  "NODE-PORT-LOCAL-SCTP": "bitmap:port",
  "HEALTH-CHECK-NODE-PORT": "bitmap:port",
} as const;
export type IpvsSet = keyof typeof IPVS_SETS;

export const setName = (set: IpvsSet, family: Family): string =>
  `KUBE-${family === "IPv6" ? "6-" : ""}${set}`.slice(0, MAX_SET_NAME);

/** The kernel takes names of up to 31 characters; the longest one loses its last letter in IPv6, as it does upstream. */
const MAX_SET_NAME = 31;

/** Parts of the state that one service port stands for. Pure. */
export function portState(
  port: ServicePort,
  family: Family,
  scheduler: string,
  nodeAddresses: readonly string[],
): IpvsState {
  const servers = new Map<string, VirtualServer>();
  const addresses = new Set<string>();
  const sets = new Map<string, Set<string>>();
  const protocol = port.protocol.toLowerCase() as VirtualServer["protocol"];
  const enter = (set: IpvsSet, entry: string) => {
    const name = setName(set, family);
    sets.set(name, (sets.get(name) ?? new Set()).add(entry));
  };
  const serve = (ip: string, number: number, local: boolean) => {
    const address = destination({ ip, port: number });
    const targets = new Set((local ? port.localEndpoints : port.clusterEndpoints).map(destination));
    servers.set(`${protocol} ${address}`, {
      protocol,
      address,
      scheduler,
      persistentSeconds: port.affinitySeconds,
      servers: targets,
    });
  };
  const bind = (ip: string) => {
    addresses.add(ip);
    enter("IPVS-IPS", ip);
  };
  const entry = (ip: string) => `${ip},${protocol}:${port.port}`;

  serve(port.clusterIP, port.port, port.internalTrafficLocal);
  bind(port.clusterIP);
  enter("CLUSTER-IP", entry(port.clusterIP));
  const local = port.externalTrafficLocal;
  for (const ip of port.externalIPs) {
    serve(ip, port.port, local);
    bind(ip);
    enter(local ? "EXTERNAL-IP-LOCAL" : "EXTERNAL-IP", entry(ip));
  }
  for (const ip of port.loadBalancerIPs) {
    serve(ip, port.port, local);
    bind(ip);
    enter("LOAD-BALANCER", entry(ip));
    if (local) enter("LOAD-BALANCER-LOCAL", entry(ip));
    if (port.loadBalancerSourceRanges.length > 0) enter("LOAD-BALANCER-FW", entry(ip));
    for (const range of port.loadBalancerSourceRanges) enter("LOAD-BALANCER-SOURCE-CIDR", `${entry(ip)},${range}`);
  }
  if (port.nodePort !== 0) {
    for (const ip of nodeAddresses) serve(ip, port.nodePort, local);
    enter(`NODE-PORT-${port.protocol}`, String(port.nodePort));
    if (local) enter(`NODE-PORT-LOCAL-${port.protocol}`, String(port.nodePort));
  }
  if (port.healthCheckNodePort !== 0) enter("HEALTH-CHECK-NODE-PORT", String(port.healthCheckNodePort));
  // A pod that reaches itself through its service must see another source than itself.
  for (const { ip, port: number } of port.localEndpoints) enter("LOOP-BACK", `${ip},${protocol}:${number},${ip}`);
  return { servers, addresses, sets };
}

/** Joins the parts; where two services claim one address and port, the first one has it. Pure. */
export function joinStates(parts: Iterable<IpvsState>): IpvsState {
  const servers = new Map<string, VirtualServer>();
  const addresses = new Set<string>();
  const sets = new Map<string, Set<string>>();
  for (const part of parts) {
    for (const [key, server] of part.servers) if (!servers.has(key)) servers.set(key, server);
    for (const address of part.addresses) addresses.add(address);
    for (const [name, entries] of part.sets) {
      const known = sets.get(name) ?? new Set<string>();
      for (const entry of entries) known.add(entry);
      sets.set(name, known);
    }
  }
  return { servers, addresses, sets };
}

const FLAG = { tcp: "-t", udp: "-u", sctp: "--sctp-service" } as const;

function edit(command: "-A" | "-E", server: VirtualServer): string {
  const sticky = server.persistentSeconds > 0 ? ` -p ${server.persistentSeconds}` : "";
  return `${command} ${FLAG[server.protocol]} ${server.address} -s ${server.scheduler}${sticky}\n`;
}

/** Input of `ipvsadm --restore` that turns one set of virtual servers into another. Pure. */
export function ipvsDifference(
  before: ReadonlyMap<string, VirtualServer>,
  after: ReadonlyMap<string, VirtualServer>,
): string {
  let text = "";
  for (const [key, server] of after) {
    const old = before.get(key);
    const name = `${FLAG[server.protocol]} ${server.address}`;
    if (old === undefined) text += edit("-A", server);
    else if (old.scheduler !== server.scheduler || old.persistentSeconds !== server.persistentSeconds)
      text += edit("-E", server);
    for (const target of server.servers)
      if (old?.servers.has(target) !== true) text += `-a ${name} -r ${target} -m -w 1\n`;
    for (const target of old?.servers ?? []) if (!server.servers.has(target)) text += `-d ${name} -r ${target}\n`;
  }
  for (const [key, { protocol, address }] of before) if (!after.has(key)) text += `-D ${FLAG[protocol]} ${address}\n`;
  return text;
}

/** Input of `ipset restore` that turns the entries of sets into others. Pure. */
export function setDifference(before: IpvsState["sets"], after: IpvsState["sets"]): string {
  let text = "";
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(name) ?? new Set();
    const now = after.get(name) ?? new Set();
    for (const entry of now) if (!old.has(entry)) text += `add ${name} ${entry}\n`;
    for (const entry of old) if (!now.has(entry)) text += `del ${name} ${entry}\n`;
  }
  return text;
}

/** Definitions of all sets, for `ipset restore -exist`. Pure. */
export function setDefinitions(family: Family): string {
  return Object.entries(IPVS_SETS)
    .map(([set, type]) => {
      const options =
        type === "bitmap:port" ? "range 0-65535" : `family ${family === "IPv6" ? "inet6" : "inet"} maxelem 65536`;
      return `create ${setName(set as IpvsSet, family)} ${type} ${options}\n`;
    })
    .join("");
}

/** Reads `ipvsadm --save --numeric`. Pure. */
export function parseIpvs(text: string, family: Family): Map<string, VirtualServer> {
  const found = new Map<string, VirtualServer & { servers: Set<string> }>();
  for (const line of text.split("\n")) {
    const words = line.trim().split(/\s+/);
    const [command, flag, address = ""] = words;
    const protocol = flag === "-t" ? "tcp" : flag === "-u" ? "udp" : flag === "--sctp-service" ? "sctp" : undefined;
    if (protocol === undefined || address.startsWith("[") !== (family === "IPv6")) continue;
    const option = (name: string) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
    const key = `${protocol} ${address}`;
    if (command === "-A") {
      const persistentSeconds = Number(option("-p") ?? 0);
      found.set(key, { protocol, address, scheduler: option("-s") ?? "", persistentSeconds, servers: new Set() });
    } else if (command === "-a") found.get(key)?.servers.add(option("-r") ?? "");
  }
  return found;
}

/** Reads `ipset save`: entries of our sets. Pure. */
export function parseSets(text: string, family: Family): Map<string, Set<string>> {
  const names = new Set(Object.keys(IPVS_SETS).map((set) => setName(set as IpvsSet, family)));
  const found = new Map<string, Set<string>>();
  for (const line of text.split("\n")) {
    const [command, name = "", entry = ""] = line.split(" ");
    if (command === "add" && names.has(name)) found.set(name, (found.get(name) ?? new Set()).add(entry));
  }
  return found;
}
