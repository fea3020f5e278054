import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("userspace", { keepsSource: false, clusterReachesAll: true, localhostNodePorts: true });
