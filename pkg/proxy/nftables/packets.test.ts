import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("nftables", { keepsSource: true, clusterReachesAll: true, localhostNodePorts: false });
