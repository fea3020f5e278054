import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { ListMeta } from "#pkg/api/types/meta-v1.ts";
import type { InstalledResource } from "./installed.ts";
import type { IncludeObject } from "./represent.ts";

interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}
export interface Table {
  readonly kind: "Table";
  readonly apiVersion: "meta.k8s.io/v1";
  readonly metadata: ListMeta;
  /** null in all but the first event of a watch. */
  readonly columnDefinitions: readonly ColumnDefinition[] | null;
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: unknown }[];
}

/** Objects as kubectl prints them: cells by the kind's columns, and as much of each object as was asked for. */
export function tableOf(
  installed: InstalledResource,
  metadata: ListMeta,
  objects: readonly Readonly<KubeObject>[],
  include: IncludeObject,
  now: number,
  withColumns = true,
): Table {
  const { definition } = installed;
  const rows = objects.map((object) => {
    const cells = definition.printRow(object, now);
    if (include === "None") return { cells };
    const shown =
      include === "Object"
        ? object
        : { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
    return { cells, object: shown };
  });
  const columns = withColumns
    ? definition.columns.map(({ name, type, format, description, priority }) => ({
        name,
        type,
        format,
        description,
        priority,
      }))
    : null;
  return { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions: columns, rows };
}
