import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { Printer, TableRowCondition } from "#pkg/api/index.ts";
import type { ListMeta } from "#pkg/api/types/meta-v1.ts";
import type { InstalledResource } from "./installed.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import type { MetaVersion } from "../http/negotiate.ts";
import { type IncludeObject, partialJson, partialOf } from "./represent.ts";

interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}
export interface Table {
  readonly kind: "Table";
  readonly apiVersion: MetaVersion;
  readonly metadata: ListMeta;
  /** null in all but the first event of a watch. */
  readonly columnDefinitions: readonly ColumnDefinition[] | null;
  readonly rows: readonly (TableCells & { readonly object?: unknown })[];
}
interface TableCells {
  readonly cells: readonly unknown[];
  readonly conditions?: readonly TableRowCondition[];
}

function cellsOf(printer: Printer, object: Readonly<KubeObject>, now: number): TableCells {
  const cells = printer.printRow(object, now);
  const conditions = printer.rowConditions?.(object) ?? [];
  return conditions.length === 0 ? { cells } : { cells, conditions };
}

/** Objects as kubectl prints them: cells by the printer's columns, and as much of each object as was asked for. */
export function tableOf(
  printer: Printer,
  metadata: ListMeta,
  objects: readonly Readonly<KubeObject>[],
  include: IncludeObject,
  now: number,
  version: MetaVersion,
  withColumns = true,
): Table {
  const rows = objects.map((object) => {
    const cells = cellsOf(printer, object, now);
    if (include === "None") return cells;
    return { ...cells, object: include === "Object" ? object : partialOf(object, version) };
  });
  const columns = withColumns
    ? printer.columns.map(({ name, type, format, description, priority }) => ({
        name,
        type,
        format,
        description,
        priority,
      }))
    : null;
  return { kind: "Table", apiVersion: version, metadata, columnDefinitions: columns, rows };
}

const ROW_END = Buffer.from("}");
const TABLE_END = Buffer.from("]}");

/** A Table of stored objects as JSON: what is shown of each is taken from its own bytes. */
export function joinTable(
  installed: InstalledResource,
  entries: readonly CacheEntry[],
  metadata: ListMeta,
  include: IncludeObject,
  now: number,
  version: MetaVersion,
): Buffer[] {
  const { definition } = installed;
  const empty = JSON.stringify(tableOf(definition, metadata, [], include, now, version));
  const chunks: Buffer[] = [Buffer.from(empty.slice(0, -TABLE_END.length))];
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const row = JSON.stringify(cellsOf(definition, installed.object(entry), now));
    const cells = `${i === 0 ? "" : ","}${row.slice(0, -1)}`;
    if (include === "None") {
      chunks.push(Buffer.from(`${cells}}`));
      continue;
    }
    chunks.push(Buffer.from(`${cells},"object":`));
    if (include === "Object") chunks.push(installed.json(entry));
    else chunks.push(...partialJson(installed, entry, version));
    chunks.push(ROW_END);
  }
  chunks.push(TABLE_END);
  return chunks;
}
