/** Needs a kernel with IPVS and dummy devices: `hack/vm-test pkg/proxy/ipvs/packets.vm-test.ts`. */
import { proxyConformance } from "../testing/conformance.ts";

proxyConformance("ipvs", { keepsSource: true, clusterReachesAll: false, localhostNodePorts: false });
