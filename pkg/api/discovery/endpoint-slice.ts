import { defineResource } from "../define.ts";
import type { EndpointSlice } from "../types/discovery-v1.ts";
import { validateEndpointSlice, validateEndpointSliceUpdate } from "../core/validation/endpoints.ts";
import { printEndpointSlice } from "./print.ts";

export const endpointSlice = defineResource<EndpointSlice>({
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  printRow: printEndpointSlice,
  strategy: { generation: true, validate: validateEndpointSlice, validateUpdate: validateEndpointSliceUpdate },
});
