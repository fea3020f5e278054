import { defineResource } from "../define.ts";
import type { Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR } from "../types/networking-v1.ts";
import { printIngress, printIngressClass, printIPAddress, printNetworkPolicy, printServiceCIDR } from "./print.ts";

const group = "networking.k8s.io";

export const ingress = defineResource<Ingress>({
  group,
  version: "v1",
  kind: "Ingress",
  printRow: printIngress,
  initialStatus: { loadBalancer: {} },
});
export const ingressClass = defineResource<IngressClass>({
  group,
  version: "v1",
  kind: "IngressClass",
  printRow: printIngressClass,
  strategy: { generation: true },
});
export const networkPolicy = defineResource<NetworkPolicy>({
  group,
  version: "v1",
  kind: "NetworkPolicy",
  printRow: printNetworkPolicy,
  strategy: {
    generation: true,
    defaults({ spec }) {
      if (spec === undefined || (spec.policyTypes ?? []).length > 0) return;
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
    },
  },
});
export const serviceCIDR = defineResource<ServiceCIDR>({
  group,
  version: "v1",
  kind: "ServiceCIDR",
  printRow: printServiceCIDR,
  strategy: { generation: false },
});
export const ipAddress = defineResource<IPAddress>({
  group,
  version: "v1",
  kind: "IPAddress",
  printRow: printIPAddress,
});
export const serviceCIDRBeta = defineResource<ServiceCIDR>({
  group,
  version: "v1beta1",
  kind: "ServiceCIDR",
  printRow: printServiceCIDR,
  strategy: { generation: false },
});
export const ipAddressBeta = defineResource<IPAddress>({
  group,
  version: "v1beta1",
  kind: "IPAddress",
  printRow: printIPAddress,
});
