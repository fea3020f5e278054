import type {
  MatchCondition,
  MutatingAdmissionPolicySpec,
  ValidatingAdmissionPolicySpec,
  Variable,
} from "#pkg/api/types/admissionregistration-v1.ts";
import { applyConfigurationType } from "#pkg/apimachinery/cel/index.ts";
import { type FieldError, fieldInvalid, invalid } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import { compileAdmission, type Scope } from "./environment.ts";
import { expressionOf, MUTATION_TYPES } from "./mutating.ts";
import { PolicyVariables } from "./variables.ts";

const GROUP = "admissionregistration.k8s.io";
const KINDS = new Set([
  "mutatingwebhookconfigurations",
  "validatingwebhookconfigurations",
  "validatingadmissionpolicies",
  "mutatingadmissionpolicies",
]);

/** The expression's error, if it does not compile or has another type than wanted. */
function check(field: string, expression: string | undefined, scope: Scope, ...types: string[]): FieldError[] {
  if (expression === undefined || expression.trim() === "") return [];
  try {
    compileAdmission(expression, scope, ...types);
    return [];
  } catch (error) {
    return [fieldInvalid(field, expression, errorMessage(error))];
  }
}

function conditionErrors(path: string, conditions: readonly MatchCondition[] = [], scope: Scope): FieldError[] {
  return conditions.flatMap(({ expression }, index) =>
    check(`${path}.matchConditions[${index}].expression`, expression.trim(), scope, "bool"),
  );
}

function variableErrors(variables: readonly Variable[] = [], scope: Scope): { errors: FieldError[]; scope: Scope } {
  const errors = variables.flatMap(({ expression }, index) => {
    const before = new PolicyVariables(variables.slice(0, index), scope);
    return check(`spec.variables[${index}].expression`, expression, { ...scope, variables: before.types });
  });
  return { errors, scope: { ...scope, variables: new PolicyVariables(variables, scope).types } };
}

function validatingErrors(spec: ValidatingAdmissionPolicySpec): FieldError[] {
  const base: Scope = { params: spec.paramKind !== undefined, authorizer: true };
  const { errors, scope } = variableErrors(spec.variables, base);
  return [
    ...conditionErrors("spec", spec.matchConditions, base),
    ...errors,
    ...(spec.validations ?? []).flatMap(({ expression, messageExpression }, index) => [
      ...check(`spec.validations[${index}].expression`, expression, scope, "bool"),
      ...check(
        `spec.validations[${index}].messageExpression`,
        messageExpression,
        { ...scope, authorizer: false },
        "string",
      ),
    ]),
    ...(spec.auditAnnotations ?? []).flatMap(({ valueExpression }, index) =>
      check(`spec.auditAnnotations[${index}].valueExpression`, valueExpression, scope, "string", "null_type"),
    ),
  ];
}

function mutatingErrors(spec: MutatingAdmissionPolicySpec): FieldError[] {
  const base: Scope = { params: spec.paramKind !== undefined, authorizer: true };
  const { errors, scope } = variableErrors(spec.variables, base);
  return [
    ...conditionErrors("spec", spec.matchConditions, base),
    ...errors,
    ...(spec.mutations ?? []).flatMap((mutation, index) => {
      const json = mutation.patchType === "JSONPatch";
      const field = `spec.mutations[${index}].${json ? "jsonPatch" : "applyConfiguration"}.expression`;
      return check(
        field,
        expressionOf(mutation),
        { ...scope, objectType: applyConfigurationType },
        MUTATION_TYPES[mutation.patchType]!,
      );
    }),
  ];
}

/** Refuses webhook configurations and admission policies whose expressions do not compile. */
export class AdmissionExpressions implements AdmissionPlugin {
  readonly name = "AdmissionExpressions";

  handles({ resource, operation, subresource }: AdmissionAttributes): boolean {
    return (
      resource.group === GROUP &&
      KINDS.has(resource.plural) &&
      subresource === "" &&
      (operation === "CREATE" || operation === "UPDATE")
    );
  }

  validate({ resource, object, oldObject, name }: AdmissionAttributes): void {
    if (object === undefined) return;
    const spec = object["spec"];
    // What is stored already stays valid while nothing of it changes.
    const relevant = (o: typeof oldObject): string => JSON.stringify(o?.["spec"] ?? o?.["webhooks"]);
    if (oldObject !== undefined && relevant(object) === relevant(oldObject)) return;
    let errors: FieldError[];
    if (resource.plural === "validatingadmissionpolicies")
      errors = validatingErrors(spec as ValidatingAdmissionPolicySpec);
    else if (resource.plural === "mutatingadmissionpolicies")
      errors = mutatingErrors(spec as MutatingAdmissionPolicySpec);
    else {
      const webhooks = (object["webhooks"] ?? []) as { matchConditions?: MatchCondition[] }[];
      errors = webhooks.flatMap(({ matchConditions }, index) =>
        conditionErrors(`webhooks[${index}]`, matchConditions, { authorizer: true }),
      );
    }
    if (errors.length > 0) throw invalid({ group: GROUP, kind: resource.kind }, name, errors);
  }
}
