import {
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidPortNumber,
  validateLabels,
} from "#pkg/apimachinery/index.ts";
import type { EndpointAddress, EndpointPort, Endpoints, EndpointSubset } from "../../types/core-v1.ts";
import type { EndpointSlice } from "../../types/discovery-v1.ts";
import {
  allInvalid,
  duplicate,
  each,
  given,
  type FieldError,
  immutable,
  invalid,
  ipFamily,
  isEmpty,
  nonSpecialIp,
  notSupported,
  oneOf,
  required,
  tooMany,
  validIp,
} from "../../validation/rules.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];

function validateAddress({ ip, hostname, nodeName }: EndpointAddress, path: string): FieldError[] {
  return [
    ...validIp(ip ?? "", `${path}.ip`),
    ...(isEmpty(hostname) ? [] : allInvalid(`${path}.hostname`, hostname, isDns1123Label(hostname!))),
    ...(nodeName === undefined ? [] : allInvalid(`${path}.nodeName`, nodeName, isDns1123Subdomain(nodeName))),
    ...nonSpecialIp(ip ?? "", `${path}.ip`),
  ];
}

function validatePort(port: EndpointPort, needsName: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(port.name)) {
    if (needsName) errors.push(required(`${path}.name`));
  } else errors.push(...allInvalid(`${path}.name`, port.name, isDns1123Label(port.name!)));
  errors.push(...allInvalid(`${path}.port`, port.port ?? 0, isValidPortNumber(port.port ?? 0)));
  errors.push(...oneOf(port.protocol, PROTOCOLS, `${path}.protocol`));
  if (port.appProtocol !== undefined) {
    errors.push(...allInvalid(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol)));
  }
  return errors;
}

function validateSubset(
  { addresses = [], notReadyAddresses = [], ports = [] }: EndpointSubset,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (addresses.length === 0 && notReadyAddresses.length === 0) {
    errors.push(required(path, "must specify `addresses` or `notReadyAddresses`"));
  }
  return [
    ...errors,
    ...each(addresses, `${path}.addresses`, validateAddress),
    ...each(notReadyAddresses, `${path}.notReadyAddresses`, validateAddress),
    ...each(ports, `${path}.ports`, (port, at) => validatePort(port, ports.length > 1, at)),
  ];
}

export function validateEndpoints(endpoints: Endpoints): FieldError[] {
  return each(endpoints.subsets, "subsets", validateSubset);
}

const ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS = 1000;
const MAX_PORTS = 20_000;
const MAX_ADDRESSES = 100;
const MAX_ZONE_HINTS = 8;

function validateSliceAddress(address: string, type: string, path: string): FieldError[] {
  // Of what kind the addresses are has been asked for elsewhere.
  if (!ADDRESS_TYPES.includes(type)) return [];
  if (type === "FQDN") return allInvalid(path, address, isDns1123Subdomain(address));
  const family = ipFamily(address);
  if (family === 0) return validIp(address, path);
  if (type === "IPv4" && family !== 4) return [invalid(path, address, "must be an IPv4 address")];
  if (type === "IPv6" && family !== 6) return [invalid(path, address, "must be an IPv6 address")];
  return nonSpecialIp(address, path);
}

function validateEndpoint(
  endpoint: NonNullable<EndpointSlice["endpoints"]>[number],
  type: string,
  path: string,
): FieldError[] {
  const { addresses = [], deprecatedTopology, hostname, nodeName, hints } = endpoint;
  const errors: FieldError[] = [];
  if (addresses.length === 0) errors.push(required(`${path}.addresses`, "must contain at least 1 address"));
  else if (addresses.length > MAX_ADDRESSES) errors.push(tooMany(`${path}.addresses`, addresses.length, MAX_ADDRESSES));
  errors.push(...each(addresses, `${path}.addresses`, (address, at) => validateSliceAddress(address, type, at)));
  if (nodeName !== undefined) errors.push(...allInvalid(`${path}.nodeName`, nodeName, isDns1123Subdomain(nodeName)));
  errors.push(...validateLabels(deprecatedTopology, `${path}.deprecatedTopology`));
  if (hostname !== undefined) errors.push(...allInvalid(`${path}.hostname`, hostname, isDns1123Label(hostname)));
  const zones = hints?.forZones ?? [];
  if (zones.length > MAX_ZONE_HINTS) errors.push(tooMany(`${path}.hints.forZones`, zones.length, MAX_ZONE_HINTS));
  const seen = new Set<string>();
  errors.push(
    ...each(zones, `${path}.hints.forZones`, ({ name }, at) => {
      if (seen.has(name)) return [duplicate(`${at}.name`, name)];
      seen.add(name);
      return [];
    }),
  );
  return errors;
}

function validateSlicePorts(slice: EndpointSlice): FieldError[] {
  const ports = slice.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length > MAX_PORTS) errors.push(tooMany("ports", ports.length, MAX_PORTS));
  const names = new Set<string>();
  return [
    ...errors,
    ...each(ports, "ports", ({ name = "", protocol, port, appProtocol }, at) => {
      const found: FieldError[] = [];
      if (name !== "") found.push(...allInvalid(`${at}.name`, name, isDns1123Label(name)));
      if (names.has(name)) found.push(duplicate(`${at}.name`, name));
      names.add(name);
      if (protocol === undefined) found.push(required(`${at}.protocol`));
      found.push(...given(protocol, PROTOCOLS, `${at}.protocol`));
      if (port !== undefined) found.push(...allInvalid(`${at}.port`, port, isValidPortNumber(port)));
      if (!isEmpty(appProtocol))
        found.push(...allInvalid(`${at}.appProtocol`, appProtocol, isQualifiedName(appProtocol!)));
      return found;
    }),
  ];
}

export function validateEndpointSlice(slice: EndpointSlice): FieldError[] {
  const { addressType = "" } = slice;
  const endpoints = slice.endpoints ?? [];
  const errors: FieldError[] = [];
  if (addressType === "") errors.push(required("addressType"));
  else if (!ADDRESS_TYPES.includes(addressType)) errors.push(notSupported("addressType", addressType, ADDRESS_TYPES));
  if (endpoints.length > MAX_ENDPOINTS) errors.push(tooMany("endpoints", endpoints.length, MAX_ENDPOINTS));
  errors.push(...each(endpoints, "endpoints", (endpoint, at) => validateEndpoint(endpoint, addressType, at)));
  return [...errors, ...validateSlicePorts(slice)];
}

export function validateEndpointSliceUpdate(slice: EndpointSlice, old: Readonly<EndpointSlice>): FieldError[] {
  return [...validateEndpointSlice(slice), ...immutable(slice.addressType, old.addressType, "addressType")];
}
