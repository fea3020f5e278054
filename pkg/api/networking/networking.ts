import { cidrWarnings } from "../validation/address-warnings.ts";
import { defineResource, type TypedStrategy } from "../define.ts";
import type {
  Ingress,
  IngressClass,
  IPAddress,
  NetworkPolicy,
  NetworkPolicyPeer,
  ServiceCIDR,
} from "../types/networking-v1.ts";
import { printIngress, printIngressClass, printIPAddress, printNetworkPolicy, printServiceCIDR } from "./print.ts";
import {
  CLASS_ANNOTATION,
  validateIngress,
  validateIngressClass,
  validateIngressClassUpdate,
  validateIngressCreate,
  validateIngressStatus,
  validateIPAddress,
  validateIPAddressName,
  validateIPAddressUpdate,
  validateNetworkPolicy,
  validateServiceCIDR,
  validateServiceCIDRUpdate,
} from "./validation.ts";

const group = "networking.k8s.io";
const CLASS_WARNING = `annotation "${CLASS_ANNOTATION}" is deprecated, please use 'spec.ingressClassName' instead`;

const serviceCIDRStrategy: TypedStrategy<ServiceCIDR> = {
  generation: false,
  validate: validateServiceCIDR,
  validateUpdate: validateServiceCIDRUpdate,
};
const ipAddressStrategy: TypedStrategy<IPAddress> = {
  validate: validateIPAddress,
  validateUpdate: validateIPAddressUpdate,
  validateName: validateIPAddressName,
};

export const ingress = defineResource<Ingress>({
  group,
  version: "v1",
  kind: "Ingress",
  printRow: printIngress,
  initialStatus: { loadBalancer: {} },
  strategy: {
    validate: validateIngressCreate,
    validateUpdate: validateIngress,
    warnings: ({ metadata, spec }, old) =>
      old !== undefined ||
      metadata.annotations?.[CLASS_ANNOTATION] === undefined ||
      spec?.ingressClassName !== undefined
        ? []
        : [CLASS_WARNING],
  },
  status: { validateUpdate: validateIngressStatus },
});
export const ingressClass = defineResource<IngressClass>({
  group,
  version: "v1",
  kind: "IngressClass",
  printRow: printIngressClass,
  strategy: { generation: true, validate: validateIngressClass, validateUpdate: validateIngressClassUpdate },
});
function peerWarnings(peers: readonly NetworkPolicyPeer[] | undefined, path: string): string[] {
  return (peers ?? []).flatMap(({ ipBlock }, index) => {
    const at = `${path}[${index}].ipBlock`;
    const except = (ipBlock?.except ?? []).flatMap((cidr, i) => cidrWarnings(cidr, `${at}.except[${i}]`));
    return [...cidrWarnings(ipBlock?.cidr, `${at}.cidr`), ...except];
  });
}

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
    validate: validateNetworkPolicy,
    warnings: ({ spec }) => [
      ...(spec?.ingress ?? []).flatMap(({ from }, index) => peerWarnings(from, `spec.ingress[${index}].from`)),
      ...(spec?.egress ?? []).flatMap(({ to }, index) => peerWarnings(to, `spec.egress[${index}].to`)),
    ],
  },
});
export const serviceCIDR = defineResource<ServiceCIDR>({
  group,
  version: "v1",
  kind: "ServiceCIDR",
  printRow: printServiceCIDR,
  strategy: serviceCIDRStrategy,
});
export const ipAddress = defineResource<IPAddress>({
  group,
  version: "v1",
  kind: "IPAddress",
  printRow: printIPAddress,
  strategy: ipAddressStrategy,
});
export const serviceCIDRBeta = defineResource<ServiceCIDR>({
  group,
  version: "v1beta1",
  kind: "ServiceCIDR",
  printRow: printServiceCIDR,
  strategy: serviceCIDRStrategy,
});
export const ipAddressBeta = defineResource<IPAddress>({
  group,
  version: "v1beta1",
  kind: "IPAddress",
  printRow: printIPAddress,
  strategy: ipAddressStrategy,
});
