import { ageOf, UNSET } from "../printers/cells.ts";
import type { ResourceClaim, ResourceSlice } from "../types/resource-v1.ts";
import type { DeviceTaintRule, ResourcePoolStatusRequest } from "../types/resource-v1alpha3.ts";

function claimState(claim: Readonly<ResourceClaim>): string {
  const states: string[] = [];
  if (claim.metadata.deletionTimestamp !== undefined) states.push("deleted");
  if (claim.status?.allocation === undefined) {
    if (states.length === 0) states.push("pending");
  } else {
    states.push("allocated");
    if ((claim.status.reservedFor ?? []).length > 0) states.push("reserved");
  }
  return states.join(",");
}

export function printResourceClaim(claim: Readonly<ResourceClaim>, now: number): unknown[] {
  return [claim.metadata.name, claimState(claim), ageOf(claim, now)];
}

export function printResourceSlice(slice: Readonly<ResourceSlice>, now: number): unknown[] {
  const { nodeName, allNodes, driver, pool } = slice.spec;
  const node = nodeName || (allNodes === true ? "<all>" : UNSET);
  return [slice.metadata.name, node, driver, pool?.name ?? "", ageOf(slice, now)];
}

export function printDeviceTaintRule(rule: Readonly<DeviceTaintRule>, now: number): unknown[] {
  const { key = "", value = "", effect = "", timeAdded } = rule.spec.taint ?? {};
  return [rule.metadata.name, key, value, effect, timeAdded ?? "", ageOf(rule, now)];
}

export function printPoolStatusRequest(request: Readonly<ResourcePoolStatusRequest>): unknown[] {
  const pools = request.status?.pools ?? [];
  const sum = (field: "totalDevices" | "availableDevices" | "allocatedDevices" | "unavailableDevices") =>
    String(pools.reduce((total, pool) => total + (pool[field] ?? 0), 0));
  const done = request.status?.conditions?.find(({ type }) => type === "Complete" || type === "Failed");
  return [
    request.metadata.name,
    request.spec.driver,
    sum("totalDevices"),
    sum("availableDevices"),
    sum("allocatedDevices"),
    sum("unavailableDevices"),
    String(pools.filter(({ validationError }) => validationError !== undefined).length),
    request.status?.poolCount ?? 0,
    done?.type ?? "Pending",
    done?.lastTransitionTime ?? "",
  ];
}
