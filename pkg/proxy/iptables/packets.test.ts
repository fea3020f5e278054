import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("iptables", { keepsSource: true, localhostNodePorts: true });
