import type { ServiceSpec } from "#pkg/api/types/core-v1.ts";
import { type FieldError, fieldInvalid } from "#pkg/apimachinery/index.ts";
import { familyOf, type IpFamily } from "./ip-range.ts";

const OTHER: Readonly<Record<IpFamily, IpFamily>> = { IPv4: "IPv6", IPv6: "IPv4" };
export const HEADLESS = "None";

/**
 * Settles which IP families a Service has: fills in ipFamilyPolicy and ipFamilies from what the client said and what
 * the cluster offers (primary first). Returns what cannot be had.
 */
export function settleFamilies(
  spec: ServiceSpec,
  old: ServiceSpec | undefined,
  offered: readonly IpFamily[],
): FieldError[] {
  if (spec.type === "ExternalName") return [];
  inheritFamilies(spec, old);
  const addresses = (spec.clusterIPs ?? []).filter((address) => address !== HEADLESS && address !== "");
  if (spec.clusterIPs?.[0] === HEADLESS && Object.keys(spec.selector ?? {}).length === 0) {
    settleSelectorless(spec, offered[0]!);
    return [];
  }
  const fromAddresses = addresses.map(familyOf);
  const families = [...((spec.ipFamilies ?? []) as IpFamily[])];
  const unknown = fromAddresses.flatMap((family, index) =>
    index < families.length || offered.includes(family)
      ? []
      : [fieldInvalid(`spec.clusterIPs[${index}]`, spec.clusterIPs, `${family} is not configured on this cluster`)],
  );
  if (unknown.length > 0) return unknown;
  for (const [index, family] of fromAddresses.entries()) families[index] ??= family;
  if (spec.ipFamilyPolicy === undefined) {
    spec.ipFamilyPolicy = families.length > 1 ? "RequireDualStack" : "SingleStack";
  }
  const errors: FieldError[] = [];
  for (const [index, family] of families.entries()) {
    if (offered.includes(family)) continue;
    errors.push(fieldInvalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
  }
  if (spec.ipFamilyPolicy === "SingleStack" && families.length > 1) {
    const why = "must be RequireDualStack or PreferDualStack when multiple IP families are specified";
    errors.push(fieldInvalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, why));
  }
  if (spec.ipFamilyPolicy === "RequireDualStack" && offered.length < 2) {
    const why = "this cluster is not configured for dual-stack services";
    errors.push(fieldInvalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, why));
  }
  if (errors.length > 0) return errors;
  families[0] ??= offered[0]!;
  const second = OTHER[families[0]];
  if (spec.ipFamilyPolicy !== "SingleStack" && families.length < 2 && offered.includes(second)) families.push(second);
  spec.ipFamilies = families;
  return [];
}

/** An update that leaves the families out keeps them; going back to a single stack drops the second one. */
function inheritFamilies(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  if (old === undefined || old.type === "ExternalName") return;
  spec.ipFamilyPolicy ??= old.ipFamilyPolicy;
  if ((spec.ipFamilies ?? []).length === 0)
    spec.ipFamilies = old.ipFamilies === undefined ? undefined : [...old.ipFamilies];
  const downgraded = spec.ipFamilyPolicy === "SingleStack" && old.ipFamilyPolicy !== "SingleStack";
  if (!downgraded) return;
  if (sameList(spec.ipFamilies, old.ipFamilies)) spec.ipFamilies = spec.ipFamilies?.slice(0, 1);
  if (sameList(spec.clusterIPs, old.clusterIPs)) spec.clusterIPs = spec.clusterIPs?.slice(0, 1);
}

function sameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return (a ?? []).join() === (b ?? []).join();
}

/** Somebody else fills in the endpoints, of whatever family: both are announced. */
function settleSelectorless(spec: ServiceSpec, primary: IpFamily): void {
  const families = [...((spec.ipFamilies ?? []) as IpFamily[])];
  families[0] ??= primary;
  spec.ipFamilyPolicy ??= "RequireDualStack";
  if (families.length < 2 && spec.ipFamilyPolicy !== "SingleStack") families.push(OTHER[families[0]]);
  spec.ipFamilies = families;
}
