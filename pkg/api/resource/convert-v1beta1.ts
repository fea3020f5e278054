/**
 * resource.k8s.io/v1beta1 writes a request's fields beside its name where later versions put them under `exactly`, and
 * a device's under `basic` where later versions put them beside its name. Everything else is the same.
 */
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { Device as BetaDevice, DeviceRequest as BetaRequest } from "../types/resource-v1beta1.ts";
import type { Device, DeviceRequest } from "../types/resource-v1.ts";

function requestToV1({ name, firstAvailable, ...exactly }: BetaRequest): DeviceRequest {
  const asked = Object.keys(exactly).length > 0;
  return {
    name,
    ...(asked ? { exactly: { deviceClassName: "", ...exactly } } : {}),
    ...(firstAvailable === undefined ? {} : { firstAvailable }),
  };
}

function requestFromV1({ name, exactly, firstAvailable }: DeviceRequest): BetaRequest {
  return { name, ...exactly, ...(firstAvailable === undefined ? {} : { firstAvailable }) };
}

const deviceToV1 = ({ name, basic }: BetaDevice): Device => ({ name, ...basic });

function deviceFromV1({ name, ...basic }: Device): BetaDevice {
  return { name, basic };
}

type Fields = Record<string, unknown>;

/** A shallow copy in which the list at `path` is mapped; parents that are absent stay so. */
function mapList<T>(object: Fields, path: readonly string[], change: (item: T) => unknown): Fields {
  const [field, ...rest] = path as [string, ...string[]];
  const value = object[field];
  if (typeof value !== "object" || value === null) return object;
  const changed = rest.length === 0 ? (value as T[]).map(change) : mapList(value as Fields, rest, change);
  return { ...object, [field]: changed };
}

const PATHS: Readonly<Record<string, readonly string[]>> = {
  ResourceClaim: ["spec", "devices", "requests"],
  ResourceClaimTemplate: ["spec", "spec", "devices", "requests"],
  ResourceSlice: ["spec", "devices"],
};

function convert(object: Readonly<KubeObject>, apiVersion: string, toV1: boolean): KubeObject {
  const copy = { ...object, apiVersion };
  const path = PATHS[object.kind ?? ""];
  if (path === undefined) return copy;
  if (object.kind === "ResourceSlice") return mapList(copy, path, toV1 ? deviceToV1 : deviceFromV1) as KubeObject;
  return mapList(copy, path, toV1 ? requestToV1 : requestFromV1) as KubeObject;
}

/** @param object an object of version v1beta1 */
export const fromV1beta1 = (object: Readonly<KubeObject>): KubeObject => convert(object, "resource.k8s.io/v1", true);
/** @param object an object of version v1 */
export const toV1beta1 = (object: Readonly<KubeObject>): KubeObject =>
  convert(object, "resource.k8s.io/v1beta1", false);
