/** Runs objects through a kind's rules as the registry does; for tests only. */
import { deepCopy, type FieldError, type KubeObject } from "#pkg/apimachinery/index.ts";
import { builtinResources } from "../builtin.ts";
import type { RequestInfo, ResourceDefinition, Strategy } from "../resource.ts";

const requestInfo: RequestInfo = {
  user: { name: "tester", groups: ["testers"] },
  namespace: "default",
  dryRun: false,
  now: Date.UTC(2026, 0, 1),
  warnings: [],
};

const definitions = builtinResources({ runtimeConfig: { "api/all": true } });

/** "Pod", "apps/v1/Deployment" or "autoscaling/v1/HorizontalPodAutoscaler". */
export function definitionOf(name: string): ResourceDefinition {
  const parts = name.split("/");
  const kind = parts.at(-1)!;
  const [group, version] = parts.length === 3 ? parts : ["", "v1"];
  const found = definitions.find((one) => one.kind === kind && one.group === group && one.version === version);
  if (found === undefined) throw new Error(`No kind is called ${name}`);
  return found;
}

const lines = (errors: readonly FieldError[]): string[] =>
  errors.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));

type Draft = Record<string, unknown>;

function withMetadata(draft: Draft): KubeObject {
  const { metadata, ...rest } = deepCopy(draft);
  return { ...rest, metadata: { name: "web", namespace: "default", uid: "u1", ...(metadata as object | undefined) } };
}

/** The object as it is stored after a POST of `draft`. */
export function created(name: string, draft: Draft, info: RequestInfo = requestInfo): KubeObject {
  const definition = definitionOf(name);
  const object = withMetadata(draft);
  definition.applyDefaults(object);
  definition.strategy.prepareForAllocation?.(object, undefined);
  definition.strategy.prepareForCreate?.(object, info);
  return object;
}

/** What a POST of `draft` is refused for, as "path: message". */
export function createErrors(name: string, draft: Draft): string[] {
  return lines(definitionOf(name).strategy.validate?.(created(name, draft)) ?? []);
}

/** What the client is told beside the answer to a POST of `draft`. */
export function createWarnings(name: string, draft: Draft): string[] {
  const warnings: string[] = [];
  const object = created(name, draft, { ...requestInfo, warnings });
  return [...warnings, ...(definitionOf(name).strategy.warnings?.(object) ?? [])];
}

function strategyFor(definition: ResourceDefinition, subresource: string | undefined): Strategy {
  if (subresource === undefined) return definition.strategy;
  const implementation = definition.subresources.find(({ name }) => name === subresource)?.implementation;
  return (implementation !== undefined && "strategy" in implementation ? implementation.strategy : undefined) ?? {};
}

/** An object created from `draft` and then changed by `change` through the main resource or a subresource. */
export function updated(
  name: string,
  draft: Draft,
  change: (object: KubeObject) => void,
  subresource?: string,
): { readonly object: KubeObject; readonly errors: string[]; readonly warnings: string[] } {
  const definition = definitionOf(name);
  const old = created(name, draft);
  const object = deepCopy(old);
  change(object);
  definition.applyDefaults(object);
  const strategy = strategyFor(definition, subresource);
  strategy.prepareForAllocation?.(object, old);
  strategy.prepareForUpdate?.(object, old, requestInfo);
  const errors = strategy.validateUpdate?.(object, old) ?? strategy.validate?.(object) ?? [];
  return { object, errors: lines(errors), warnings: strategy.warnings?.(object, old) ?? [] };
}
