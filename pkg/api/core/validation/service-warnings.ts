import type { Service } from "../../types/core-v1.ts";
import { cidrWarnings, ipWarnings } from "../../validation/address-warnings.ts";
import { HINTS_ANNOTATION, isHeadless, MODE_ANNOTATION } from "./service.ts";

/** What is legal in a Service and does nothing, or will not for long. */
export function serviceWarnings({ metadata, spec = {} }: Service): string[] {
  const { type, clusterIPs = [], externalIPs = [], loadBalancerIP, loadBalancerSourceRanges = [] } = spec;
  const warnings: string[] = [];
  const warn = (condition: boolean, text: string): void => void (condition && warnings.push(text));
  const headless = type === "ClusterIP" && isHeadless(spec);
  const alias = type === "ExternalName";
  warn(
    metadata.annotations?.[HINTS_ANNOTATION] !== undefined,
    `annotation ${HINTS_ANNOTATION} is deprecated, please use ${MODE_ANNOTATION} instead`,
  );
  if (!headless) warnings.push(...clusterIPs.flatMap((ip, index) => ipWarnings(ip, `spec.clusterIPs[${index}]`)));
  warn(headless && Boolean(loadBalancerIP), "spec.loadBalancerIP is ignored for headless services");
  warn(headless && externalIPs.length > 0, "spec.externalIPs is ignored for headless services");
  warn(headless && spec.sessionAffinity !== "None", "spec.SessionAffinity is ignored for headless services");
  warnings.push(...externalIPs.flatMap((ip, index) => ipWarnings(ip, `spec.externalIPs[${index}]`)));
  const outside = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
  warn(externalIPs.length > 0 && !headless && !alias, outside);
  warnings.push(...ipWarnings(loadBalancerIP, "spec.loadBalancerIP"));
  for (const [index, range] of loadBalancerSourceRanges.entries()) {
    warnings.push(...cidrWarnings(range.trim(), `spec.loadBalancerSourceRanges[${index}]`));
  }
  warn(alias && externalIPs.length > 0, 'spec.externalIPs is ignored when spec.type is "ExternalName"');
  warn(!alias && Boolean(spec.externalName), 'spec.externalName is ignored when spec.type is not "ExternalName"');
  const nearest = 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"';
  warn(spec.trafficDistribution === "PreferClose", nearest);
  return warnings;
}
