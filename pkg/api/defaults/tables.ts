import data from "../data/defaults.json" with { type: "json" };
import type { DefaultRows } from "./compile.ts";

const kinds = data.kinds as Readonly<Record<string, DefaultRows>>;

/** Rows shared by every kind that holds a pod template. */
export const containerRows: DefaultRows = data.shared.Container;
export const volumeRows: DefaultRows = data.shared.Volume;
export const podSpecRows: DefaultRows = data.shared.PodSpec;

/** Rows of one kind in one version; none when the table is silent. */
export function defaultRows(group: string, version: string, kind: string): DefaultRows {
  return kinds[`${group === "" ? "" : `${group}/`}${version}/${kind}`] ?? {};
}
