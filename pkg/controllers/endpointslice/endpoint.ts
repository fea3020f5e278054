import type { Endpoint, EndpointPort } from "#pkg/api/types/discovery-v1.ts";
import type { Node, Pod, Service } from "#pkg/api/types/core-v1.ts";
import { isPodReady } from "../common/pods.ts";
import { endpointHostname, podPort } from "../common/services.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";

/** A pod as an endpoint under one address. */
export function endpointOf(pod: Pod, address: string, service: Service, node: Node | undefined): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = node?.metadata.labels?.[ZONE_LABEL];
  const hostname = endpointHostname(pod, service);
  const nodeName = pod.spec.nodeName;
  const endpoint: Endpoint = {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
    ...(nodeName === undefined || nodeName === "" ? {} : { nodeName }),
    ...(zone === undefined || zone === "" ? {} : { zone }),
  };
  const hints = hintsOf(endpoint, service.spec.trafficDistribution);
  return hints === undefined ? endpoint : { ...endpoint, hints };
}

/** Who should prefer this endpoint, under the service's trafficDistribution (KEP-4444, KEP-3015). */
function hintsOf(endpoint: Endpoint, distribution: string | undefined): Endpoint["hints"] {
  if (endpoint.conditions?.ready !== true) return undefined;
  const { zone, nodeName } = endpoint;
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] };
  switch (distribution) {
    case "PreferClose":
    case "PreferSameZone":
      return zone === undefined ? undefined : forZones;
    case "PreferSameNode":
      return nodeName === undefined ? undefined : { ...forZones, forNodes: [{ name: nodeName }] };
    default:
      return undefined;
  }
}

/** Ports that a pod offers for the service; a named port that the pod does not have is left out. */
export function slicePorts(service: Service, pod: Pod): EndpointPort[] {
  return (service.spec.ports ?? []).flatMap((port): EndpointPort[] => {
    const number = podPort(pod, port);
    if (number === undefined) return [];
    return [
      {
        name: port.name ?? "",
        port: number,
        protocol: port.protocol ?? "TCP",
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
      },
    ];
  });
}
