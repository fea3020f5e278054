import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("userspace", { keepsSource: false, localhostNodePorts: true });
