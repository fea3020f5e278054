import { builtinResources, schemaOf } from "#pkg/api/index.ts";
import type { ExpressionWarning, ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import { AUTHORIZER_TYPE, type CelType, compileCel, DYN, RESOURCE_CHECK_TYPE } from "#pkg/apimachinery/cel/index.ts";
import { apiVersionOf, type FieldSchema, parseApiVersion } from "#pkg/apimachinery/index.ts";

/** A kind that a policy's rules name, with its schema. */
interface CheckedKind {
  readonly name: string;
  readonly schema: FieldSchema;
}

/** Policies that match more kinds than this are checked against the first ones only. */
const MAX_KINDS = 10;

/** The kinds the rules name without wildcards; those of custom resources have no schema here and are left out. */
function kindsOf({ spec }: ValidatingAdmissionPolicy): CheckedKind[] {
  const found = new Map<string, CheckedKind>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of spec.matchConstraints?.resourceRules ?? []) {
    for (const { group, version, plural, kind, schema } of builtinResources()) {
      if (!apiGroups.includes(group) || !apiVersions.includes(version) || !resources.includes(plural)) continue;
      // Go prints the group of the core kinds as nothing before the slash.
      const name = `${group === "" ? `/${version}` : apiVersionOf({ group, version })}, Kind=${kind}`;
      found.set(name, { name, schema });
    }
  }
  return [...found.values()].slice(0, MAX_KINDS);
}

function paramsType({ spec }: ValidatingAdmissionPolicy): FieldSchema | CelType {
  const { apiVersion = "", kind = "" } = spec.paramKind ?? {};
  const { group, version } = parseApiVersion(apiVersion);
  const definition = builtinResources().find(
    (own) => own.group === group && own.version === version && own.kind === kind,
  );
  return definition?.schema ?? DYN;
}

/** The compiler's complaint about one expression, or undefined. */
function complaint(expression: string, variables: Readonly<Record<string, FieldSchema | CelType>>): string | undefined {
  try {
    compileCel(expression, { variables });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Types of everything an expression may name, with `variables` typed by their own expressions. */
function environment(policy: ValidatingAdmissionPolicy, object: FieldSchema): Record<string, FieldSchema | CelType> {
  const types: Record<string, FieldSchema | CelType> = {
    object,
    oldObject: object,
    request: DYN,
    namespaceObject: schemaOf("io.k8s.api.core.v1.Namespace"),
    authorizer: AUTHORIZER_TYPE,
    "authorizer.requestResource": RESOURCE_CHECK_TYPE,
    ...(policy.spec.paramKind === undefined ? {} : { params: paramsType(policy) }),
  };
  for (const { name, expression } of policy.spec.variables ?? []) {
    let type: CelType = DYN;
    if (complaint(expression, types) === undefined) type = compileCel(expression, { variables: types }).resultType;
    types[`variables.${name}`] = type;
  }
  return types;
}

/**
 * Compiles a policy's expressions against the schemas of the kinds it names, where admission only knows "some object".
 * Returns what does not fit, in the order of the validations. Pure.
 */
export function typeCheck(policy: ValidatingAdmissionPolicy): ExpressionWarning[] {
  const environments = kindsOf(policy).map(({ name, schema }) => ({ name, variables: environment(policy, schema) }));
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
