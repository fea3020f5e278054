import { ageOf, UNSET } from "../printers/cells.ts";
import { firstOf } from "../printers/format.ts";
import type { EndpointSlice } from "../types/discovery-v1.ts";

const MAX_SHOWN = 3;

export function printEndpointSlice(slice: Readonly<EndpointSlice>, now: number): unknown[] {
  const ports = (slice.ports ?? []).map(({ port }) => (port === undefined ? "*" : String(port)));
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
  return [
    slice.metadata.name,
    slice.addressType,
    ports.length === 0 ? UNSET : firstOf(ports, MAX_SHOWN),
    addresses.length === 0 ? UNSET : firstOf(addresses, MAX_SHOWN),
    ageOf(slice, now),
  ];
}
