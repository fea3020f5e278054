import { toleratesTaint } from "#pkg/api/rules/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { DeviceTaint, ResourceClaim, ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import { parseTime } from "#pkg/util/index.ts";

/** Names a device in the whole cluster. */
function deviceId({ driver, pool, device }: { driver: string; pool: string; device: string }): string {
  return `${driver}/${pool}/${device}`;
}

/** NoExecute taints by device. Of a pool that is being replaced only the newest generation counts. */
export function taintedDevices(slices: readonly ResourceSlice[]): Map<string, DeviceTaint[]> {
  const newest = new Map<string, number>();
  const poolOf = ({ spec }: ResourceSlice) => `${spec.driver}/${spec.pool.name}`;
  for (const slice of slices)
    newest.set(poolOf(slice), Math.max(newest.get(poolOf(slice)) ?? 0, slice.spec.pool.generation));
  const tainted = new Map<string, DeviceTaint[]>();
  for (const slice of slices) {
    const { driver, pool, devices = [] } = slice.spec;
    if (pool.generation !== newest.get(poolOf(slice))) continue;
    for (const { name, taints = [] } of devices) {
      const noExecute = taints.filter(({ effect }) => effect === "NoExecute");
      if (noExecute.length > 0) tainted.set(deviceId({ driver, pool: pool.name, device: name }), noExecute);
    }
  }
  return tainted;
}

/** When users of this claim have to go (milliseconds since 1970); Infinity: not because of its devices. */
export function claimEndsAt(
  claim: ResourceClaim,
  taintsOf: (device: string) => readonly DeviceTaint[],
  now: number,
): number {
  let end = Infinity;
  for (const result of claim.status?.allocation?.devices?.results ?? []) {
    for (const taint of taintsOf(deviceId(result))) {
      const since = parseTime(taint.timeAdded) ?? now;
      const matching = (result.tolerations ?? []).filter((toleration) => toleratesTaint(toleration, taint));
      if (matching.length === 0) end = Math.min(end, since);
      for (const { tolerationSeconds } of matching)
        if (tolerationSeconds !== undefined) end = Math.min(end, since + Math.max(0, tolerationSeconds) * 1000);
    }
  }
  return end;
}

/** When a pod has to go, by the claims that are reserved for it. */
export function podEndsAt(pod: Pod, claims: readonly ResourceClaim[], endOf: (claim: ResourceClaim) => number): number {
  const reserved = claims.filter(
    ({ status }) => status?.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) === true,
  );
  return Math.min(Infinity, ...reserved.map(endOf));
}
