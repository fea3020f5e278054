import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("nftables", { keepsSource: true, localhostNodePorts: false });
