import { buildDefinition, type KindDeclaration, offByDefaultRows, type ResourceRow, resourceRows } from "./define.ts";
import { declarations } from "./declarations.ts";
import type { ResourceDefinition } from "./resource.ts";

export interface BuiltinOptions {
  /**
   * As the flag --runtime-config: keys are "group/version", "v1", "group/version/resource", "api/all", "api/ga",
   * "api/beta" or "api/alpha"; the more specific key wins.
   */
  readonly runtimeConfig?: Readonly<Record<string, boolean>>;
  /** Feature gates that are on against their default: the fields they guard are kept. */
  readonly gates?: ReadonlySet<string>;
}

function stabilityKey(version: string): string {
  if (version.includes("alpha")) return "api/alpha";
  return version.includes("beta") ? "api/beta" : "api/ga";
}

function isEnabled(row: ResourceRow, byDefault: boolean, config: Readonly<Record<string, boolean>>): boolean {
  const groupVersion = row.group === "" ? row.version : `${row.group}/${row.version}`;
  return (
    config[`${groupVersion}/${row.plural}`] ??
    config[groupVersion] ??
    config[stabilityKey(row.version)] ??
    config["api/all"] ??
    byDefault
  );
}

/** Every built-in resource that is switched on, in discovery's order within a group. */
export function builtinResources(options: BuiltinOptions = {}): readonly ResourceDefinition[] {
  const config = options.runtimeConfig ?? {};
  const byKind = new Map<string, KindDeclaration>(
    declarations.map((declaration) => [`${declaration.group}/${declaration.version}/${declaration.kind}`, declaration]),
  );
  return [
    ...resourceRows.filter((row) => isEnabled(row, true, config)),
    ...offByDefaultRows.filter((row) => isEnabled(row, false, config)),
  ].map((row) => buildDefinition(row, byKind.get(`${row.group}/${row.version}/${row.kind}`) ?? row, options.gates));
}
