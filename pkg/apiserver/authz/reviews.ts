import { type FieldError, fieldInvalid, invalid, type KubeObject, type UserInfo } from "#pkg/apimachinery/index.ts";
import type {
  FieldSelectorAttributes,
  LabelSelectorAttributes,
  NonResourceAttributes,
  ResourceAttributes,
  SelfSubjectAccessReviewSpec,
  SubjectAccessReviewSpec,
  SubjectAccessReviewStatus,
  SubjectRulesReviewStatus,
} from "#pkg/api/types/authorization-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { Attributes, Authorizer } from "../contract.ts";
import type { ReviewContext, ReviewHandler } from "../review.ts";
import { nodeNameOf } from "./node.ts";
import type { RbacAuthorizer } from "./rbac.ts";

const GROUP = "authorization.k8s.io";

export interface AuthzReviewDeps {
  readonly authorizer: Authorizer;
  /** Absent when RBAC is not among the authorizers: rules reviews are then incomplete. */
  readonly rbac?: RbacAuthorizer;
  /** Is the Node authorizer among them? What it allows nodes follows from their pods and cannot be listed. */
  readonly nodes?: boolean;
}

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** Requirements of a field or label selector as selector text; operators that have no text form are left out. */
function selectorText(attributes: FieldSelectorAttributes | LabelSelectorAttributes | undefined): string | undefined {
  if (attributes === undefined) return undefined;
  if (attributes.rawSelector !== undefined && attributes.rawSelector !== "") return attributes.rawSelector;
  const terms = ((attributes.requirements ?? []) as readonly Requirement[]).map(({ key, operator, values = [] }) => {
    if (operator === "In") return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(",")})`;
    if (operator === "NotIn")
      return values.length === 1 ? `${key}!=${values[0]}` : `${key} notin (${values.join(",")})`;
    return operator === "Exists" ? key : `!${key}`;
  });
  return terms.length === 0 ? undefined : terms.join(",");
}

function attributesOf(
  user: UserInfo,
  resource: ResourceAttributes | undefined,
  other: NonResourceAttributes | undefined,
): Attributes {
  if (resource === undefined) return { user, resourceRequest: false, verb: other?.verb ?? "", path: other?.path ?? "" };
  return {
    user,
    resourceRequest: true,
    verb: resource.verb ?? "",
    namespace: resource.namespace ?? "",
    apiGroup: resource.group ?? "",
    apiVersion: resource.version ?? "",
    resource: resource.resource ?? "",
    subresource: resource.subresource ?? "",
    name: resource.name ?? "",
    labelSelector: selectorText(resource.labelSelector),
    fieldSelector: selectorText(resource.fieldSelector),
  };
}

function checkTarget(spec: SelfSubjectAccessReviewSpec, printed: string): FieldError[] {
  const both = spec.resourceAttributes !== undefined && spec.nonResourceAttributes !== undefined;
  if (both) {
    return [
      {
        type: "FieldValueInvalid",
        field: "spec.nonResourceAttributes",
        message: `Invalid value: ${printed}: cannot be specified in combination with resourceAttributes`,
      },
    ];
  }
  if (spec.resourceAttributes === undefined && spec.nonResourceAttributes === undefined) {
    return [
      {
        type: "FieldValueInvalid",
        field: "spec.resourceAttributes",
        message: `Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified`,
      },
    ];
  }
  return [];
}

async function judge(authorizer: Authorizer, attributes: Attributes): Promise<SubjectAccessReviewStatus> {
  try {
    const { decision, reason } = await authorizer.authorize(attributes);
    return {
      allowed: decision === "allow",
      ...(decision === "deny" ? { denied: true } : {}),
      ...(reason === "" ? {} : { reason }),
    };
  } catch (error) {
    return { allowed: false, evaluationError: errorMessage(error) };
  }
}

function userOf(spec: SubjectAccessReviewSpec): UserInfo {
  return {
    name: spec.user ?? "",
    ...(spec.uid === undefined || spec.uid === "" ? {} : { uid: spec.uid }),
    groups: spec.groups ?? [],
    ...(spec.extra === undefined
      ? {}
      : { extra: Object.fromEntries(Object.entries(spec.extra).map(([key, values]) => [key.toLowerCase(), values])) }),
  };
}

function checkSubject(kind: string, object: KubeObject, extra: FieldError[]): SubjectAccessReviewSpec {
  const spec = (object["spec"] ?? {}) as SubjectAccessReviewSpec;
  const errors = [...checkTarget(spec, JSON.stringify(spec.nonResourceAttributes)), ...extra];
  if ((spec.user ?? "") === "" && (spec.groups ?? []).length === 0) {
    errors.push(fieldInvalid("spec.user", "", "at least one of user or group must be specified"));
  }
  if (errors.length > 0) throw invalid({ group: GROUP, kind }, "", errors);
  return spec;
}

/** Handlers of the authorization.k8s.io reviews, by "group/plural". */
export function createAuthzReviews({
  authorizer,
  rbac,
  nodes = false,
}: AuthzReviewDeps): ReadonlyMap<string, ReviewHandler> {
  const subject: ReviewHandler = async (object) => {
    const spec = checkSubject("SubjectAccessReview", object, []);
    const attributes = attributesOf(userOf(spec), spec.resourceAttributes, spec.nonResourceAttributes);
    return { ...object, status: await judge(authorizer, attributes) };
  };
  const self: ReviewHandler = async (object, { user }) => {
    const spec = (object["spec"] ?? {}) as SelfSubjectAccessReviewSpec;
    const errors = checkTarget(spec, JSON.stringify(spec.nonResourceAttributes));
    if (errors.length > 0) throw invalid({ group: GROUP, kind: "SelfSubjectAccessReview" }, "", errors);
    return {
      ...object,
      status: await judge(authorizer, attributesOf(user, spec.resourceAttributes, spec.nonResourceAttributes)),
    };
  };
  const local: ReviewHandler = async (object, context) => {
    const spec = checkSubject("LocalSubjectAccessReview", object, localErrors(object, context));
    const attributes = attributesOf(userOf(spec), spec.resourceAttributes, undefined);
    return { ...object, status: await judge(authorizer, attributes) };
  };
  const rules: ReviewHandler = (object, { user }) => {
    const spec = (object["spec"] ?? {}) as { namespace?: string };
    // The answer does not repeat the question.
    return { ...object, spec: {}, status: rulesStatus(rbac, nodes, user, spec.namespace ?? "") };
  };
  return new Map([
    [`${GROUP}/subjectaccessreviews`, subject],
    [`${GROUP}/selfsubjectaccessreviews`, self],
    [`${GROUP}/localsubjectaccessreviews`, local],
    [`${GROUP}/selfsubjectrulesreviews`, rules],
  ]);
}

function localErrors(object: KubeObject, { namespace }: ReviewContext): FieldError[] {
  const spec = (object["spec"] ?? {}) as SubjectAccessReviewSpec;
  const errors: FieldError[] = [];
  if (spec.resourceAttributes !== undefined && (spec.resourceAttributes.namespace ?? "") !== namespace) {
    errors.push({
      type: "FieldValueInvalid",
      field: "spec.resourceAttributes.namespace",
      message: `Invalid value: ${JSON.stringify(spec.resourceAttributes.namespace ?? "")}: must match metadata.namespace`,
    });
  }
  if (spec.nonResourceAttributes !== undefined) {
    errors.push({
      type: "FieldValueInvalid",
      field: "spec.nonResourceAttributes",
      message: `Invalid value: ${JSON.stringify(spec.nonResourceAttributes)}: disallowed on this kind of request`,
    });
  }
  return errors;
}

function rulesStatus(
  rbac: RbacAuthorizer | undefined,
  nodes: boolean,
  user: UserInfo,
  namespace: string,
): SubjectRulesReviewStatus {
  if (rbac === undefined) {
    return {
      resourceRules: [],
      nonResourceRules: [],
      incomplete: true,
      evaluationError: "the authorizers in use do not support user rule resolution",
    };
  }
  const { rules, errors: failures } = rbac.rulesFor(user, namespace);
  const unlisted = nodes && nodeNameOf(user) !== undefined;
  const errors = unlisted ? ["node authorizer does not support user rule resolution", ...failures] : failures;
  return {
    resourceRules: rules
      .filter((rule) => (rule.resources ?? []).length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames === undefined ? {} : { resourceNames }),
      })),
    nonResourceRules: rules
      .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: errors.length > 0,
    ...(errors.length === 0 ? {} : { evaluationError: errors.join(", ") }),
  };
}
