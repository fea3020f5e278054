import { defineResource } from "../define.ts";
import type { Service, ServiceSpec } from "../types/core-v1.ts";
import { printService } from "./print.ts";
import {
  dropLoadBalancerStatus,
  dropTypeDependentFields,
  keepAllocated,
  normalizeClusterIps,
} from "./service-strategy.ts";
import { serviceWarnings } from "./validation/service-warnings.ts";
import {
  validateClusterIps,
  validateService,
  validateServiceName,
  validateServiceStatusUpdate,
  validateServiceUpdate,
} from "./validation/service.ts";

const CLIENT_IP_TIMEOUT_SECONDS = 10800;

function defaultServiceSpec(spec: ServiceSpec): void {
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= CLIENT_IP_TIMEOUT_SECONDS;
  }
  for (const port of spec.ports ?? []) {
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "") port.targetPort = port.port;
  }
  const external = (spec.externalIPs ?? []).length > 0 && spec.type === "ClusterIP";
  if (spec.type === "NodePort" || spec.type === "LoadBalancer" || external) spec.externalTrafficPolicy ||= "Cluster";
  if (spec.type !== "ExternalName") spec.internalTrafficPolicy ??= "Cluster";
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
}

export const service = defineResource<Service>({
  group: "",
  version: "v1",
  kind: "Service",
  printRow: printService,
  initialStatus: { loadBalancer: {} },
  strategy: {
    generation: false,
    defaults(service) {
      if (service.spec !== undefined) defaultServiceSpec(service.spec);
    },
    prepareForAllocation({ spec = {} }, old) {
      normalizeClusterIps(spec, old?.spec);
      if (old !== undefined) keepAllocated(spec, old.spec!);
      return validateClusterIps(spec);
    },
    prepareForUpdate(service, old) {
      dropTypeDependentFields(service.spec!, old.spec!);
      dropLoadBalancerStatus(service);
    },
    validate: validateService,
    validateUpdate: validateServiceUpdate,
    validateName: validateServiceName,
    warnings: serviceWarnings,
  },
  status: {
    prepareForUpdate(service) {
      for (const ingress of service.status?.loadBalancer?.ingress ?? []) {
        if (ingress.ip) ingress.ipMode ??= "VIP";
      }
    },
    validateUpdate: validateServiceStatusUpdate,
  },
});
