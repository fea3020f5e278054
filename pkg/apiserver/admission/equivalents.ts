import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";

/** Other versions of the kinds that pass through admission: for matchPolicy Equivalent. */
export interface Equivalents {
  /** Every served definition of the same stored objects, itself included. */
  of(definition: ResourceDefinition): readonly ResourceDefinition[];
  /** The object in another of those versions; never changes its argument. */
  convert(
    object: Readonly<KubeObject>,
    from: ResourceDefinition,
    to: ResourceDefinition,
  ): KubeObject | Promise<KubeObject>;
}

/** Equivalents of what a registry serves: definitions that share their storage. */
export function equivalentsOf(all: () => Iterable<{ readonly definition: ResourceDefinition }>): Equivalents {
  return {
    of(definition) {
      if (definition.etcdPrefix === undefined) return [definition];
      return Array.from(all(), (installed) => installed.definition).filter(
        ({ etcdPrefix }) => etcdPrefix === definition.etcdPrefix,
      );
    },
    convert(object, from, to) {
      const stored = from.toStorage === undefined ? structuredClone(object) : from.toStorage(object);
      const converted = to.fromStorage === undefined ? stored : to.fromStorage(stored);
      return { ...converted, apiVersion: to.group === "" ? to.version : `${to.group}/${to.version}`, kind: to.kind };
    },
  };
}
