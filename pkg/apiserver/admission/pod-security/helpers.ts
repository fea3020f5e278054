import type { Container, Pod } from "#pkg/api/types/core-v1.ts";

/** Containers of all sorts, in the order upstream visits them. */
export function allContainers(pod: Pod): Container[] {
  const { spec } = pod;
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])];
}

export function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}

/** `"a", "b"` */
export function quoted(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value)).join(", ");
}

/** `container "a"` or `containers "a", "b"`. */
export function containersNamed(names: readonly string[]): string {
  return `${plural("container", names.length)} ${quoted(names)}`;
}

export function isWindows(pod: Pod): boolean {
  return pod.spec?.os?.name === "windows";
}
