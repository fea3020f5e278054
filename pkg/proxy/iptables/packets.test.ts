import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("iptables", { keepsSource: true, clusterReachesAll: true, localhostNodePorts: true });
