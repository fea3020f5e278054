import { builtinResources, schemaOf } from "#pkg/api/index.ts";
import type { ExpressionWarning, ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import { AUTHORIZER_TYPE, type CelType, compileCel, DYN, RESOURCE_CHECK_TYPE } from "#pkg/apimachinery/cel/index.ts";
import { type FieldSchema, parseApiVersion } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";

/** A kind that a policy may name, with its schema. */
export interface KnownKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly schema: FieldSchema;
}

/** A rule that names more kinds than this is the last one looked at, and by its first ones only. */
const MAX_KINDS = 10;

/** The kinds the rules name, by group, version and kind. A rule with a wildcard for groups or versions says nothing. */
function kindsOf({ spec }: ValidatingAdmissionPolicy, known: readonly KnownKind[]): KnownKind[] {
  const found = new Map<string, KnownKind>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of spec.matchConstraints?.resourceRules ?? []) {
    if ([...apiGroups, ...apiVersions].some((name) => name.includes("*"))) continue;
    const named = known
      .filter(
        ({ group, version, plural }) =>
          apiGroups.includes(group) && apiVersions.includes(version) && resources.includes(plural),
      )
      .sort(inOrderOf(({ group, version, plural }) => [group, version, plural]))
      .slice(0, MAX_KINDS);
    for (const definition of named) found.set(nameOf(definition), definition);
    if (named.length === MAX_KINDS) break;
  }
  return [...found.values()].sort(inOrderOf(({ group, version, kind }) => [group, version, kind]));
}

/** Go prints the group of the core kinds as nothing before the slash. */
const nameOf = ({ group, version, kind }: KnownKind): string => `${group}/${version}, Kind=${kind}`;

/** Compares by one text after the other. */
const inOrderOf =
  <T>(keys: (item: T) => string[]) =>
  (a: T, b: T): number => {
    const [own, other] = [keys(a).join("\0"), keys(b).join("\0")];
    return own < other ? -1 : own > other ? 1 : 0;
  };

function paramsType({ spec }: ValidatingAdmissionPolicy, known: readonly KnownKind[]): FieldSchema | CelType {
  const { apiVersion = "", kind = "" } = spec.paramKind ?? {};
  const { group, version } = parseApiVersion(apiVersion);
  const definition = known.find((own) => own.group === group && own.version === version && own.kind === kind);
  return definition?.schema ?? DYN;
}

/** The compiler's complaint about one expression, or undefined. */
function complaint(expression: string, variables: Readonly<Record<string, FieldSchema | CelType>>): string | undefined {
  try {
    compileCel(expression, { variables });
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}

/** Variables forget of what struct they are. */
function scalarOrDyn(type: CelType): CelType {
  if (type.kind === "list") return { ...type, element: scalarOrDyn(type.element) };
  if (type.kind === "map") return { ...type, key: scalarOrDyn(type.key), value: scalarOrDyn(type.value) };
  return SIMPLE.has(type.kind) ? type : DYN;
}
const SIMPLE: ReadonlySet<string> = new Set("int uint double bool string bytes null timestamp duration".split(" "));

/** Types of everything an expression may name, with `variables` typed by their own expressions. */
function environment(
  policy: ValidatingAdmissionPolicy,
  object: FieldSchema,
  known: readonly KnownKind[],
): Record<string, FieldSchema | CelType> {
  const types: Record<string, FieldSchema | CelType> = {
    object,
    oldObject: object,
    request: DYN,
    namespaceObject: schemaOf("io.k8s.api.core.v1.Namespace"),
    authorizer: AUTHORIZER_TYPE,
    "authorizer.requestResource": RESOURCE_CHECK_TYPE,
    ...(policy.spec.paramKind === undefined ? {} : { params: paramsType(policy, known) }),
  };
  for (const { name, expression } of policy.spec.variables ?? []) {
    let type: CelType = DYN;
    if (complaint(expression, types) === undefined)
      type = scalarOrDyn(compileCel(expression, { variables: types }).resultType);
    types[`variables.${name}`] = type;
  }
  return types;
}

/**
 * Compiles a policy's expressions against the schemas of the kinds it names, where admission only knows "some object".
 * Returns what does not fit, in the order of the validations. `custom` are the kinds that are not built in. Pure.
 */
export function typeCheck(policy: ValidatingAdmissionPolicy, custom: readonly KnownKind[] = []): ExpressionWarning[] {
  const known: readonly KnownKind[] = [...builtinResources(), ...custom];
  const environments = kindsOf(policy, known).map((kind) => ({
    name: nameOf(kind),
    variables: environment(policy, kind.schema, known),
  }));
  const check = (fieldRef: string, expression: string | undefined): ExpressionWarning[] => {
    if (expression === undefined || expression === "") return [];
    const lines = environments.flatMap(({ name, variables }) => {
      const problem = complaint(expression, variables);
      return problem === undefined ? [] : [`${name}: ${problem}\n`];
    });
    return lines.length === 0 ? [] : [{ fieldRef, warning: lines.join("\n") }];
  };
  return (policy.spec.validations ?? []).flatMap(({ expression, messageExpression }, index) => [
    ...check(`spec.validations[${index}].expression`, expression),
    ...check(`spec.validations[${index}].messageExpression`, messageExpression),
  ]);
}
