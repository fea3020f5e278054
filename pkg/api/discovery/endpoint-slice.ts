import { defineResource } from "../define.ts";
import { ipWarnings } from "../validation/address-warnings.ts";
import type { EndpointSlice } from "../types/discovery-v1.ts";
import { validateEndpointSlice, validateEndpointSliceUpdate } from "../core/validation/endpoints.ts";
import { printEndpointSlice } from "./print.ts";

const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
/** Controllers that write addresses as they should be, and often. */
const CAREFUL = new Set(["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"]);

function sliceAddressWarnings({ metadata, addressType, endpoints }: EndpointSlice): string[] {
  if (addressType === "FQDN" || CAREFUL.has(metadata.labels?.[MANAGED_BY] ?? "")) return [];
  return (endpoints ?? []).flatMap(({ addresses }, index) =>
    (addresses ?? []).flatMap((address, i) => ipWarnings(address, `endpoints[${index}].addresses[${i}]`)),
  );
}

export const endpointSlice = defineResource<EndpointSlice>({
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  printRow: printEndpointSlice,
  strategy: {
    generation: true,
    validate: validateEndpointSlice,
    validateUpdate: validateEndpointSliceUpdate,
    warnings: (slice, old) => [
      ...(old === undefined && slice.addressType === "FQDN" ? ["spec.addressType: FQDN endpoints are deprecated"] : []),
      ...sliceAddressWarnings(slice),
    ],
  },
});
