import { isDns1123Label } from "#pkg/apimachinery/index.ts";
import type {
  FlowSchema,
  LimitedPriorityLevelConfiguration,
  NonResourcePolicyRule,
  PriorityLevelConfiguration,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from "../types/flowcontrol-v1.ts";
import {
  dnsLabel,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  inRange,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  required,
} from "../validation/rules.ts";

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const MAX_PRECEDENCE = 10_000;
const SUBJECTS: Readonly<Record<string, "user" | "group" | "serviceAccount">> = {
  Group: "group",
  ServiceAccount: "serviceAccount",
  User: "user",
};

function validateSubject(subject: Subject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const field = SUBJECTS[subject.kind];
  if (field === undefined) return [notSupported(`${path}.kind`, subject.kind ?? "", Object.keys(SUBJECTS))];
  for (const other of ["user", "group", "serviceAccount"] as const) {
    if (other !== field && subject[other] !== undefined) {
      errors.push(forbidden(`${path}.${other}`, `${other} is forbidden when subject kind is not '${kindOf(other)}'`));
    }
  }
  const named = subject[field];
  if (named === undefined)
    return [...errors, required(`${path}.${field}`, `${field} is required when subject kind is '${subject.kind}'`)];
  if (isEmpty(named.name)) errors.push(required(`${path}.${field}.name`));
  else if (field === "serviceAccount" && named.name !== "*")
    errors.push(...dnsSubdomain(named.name, `${path}.${field}.name`));
  if (subject.serviceAccount !== undefined && field === "serviceAccount") {
    const { namespace } = subject.serviceAccount;
    if (isEmpty(namespace))
      errors.push(required(`${path}.serviceAccount.namespace`, "must specify namespace for service account"));
    else errors.push(...dnsLabel(namespace, `${path}.serviceAccount.namespace`));
  }
  return errors;
}

function kindOf(field: "user" | "group" | "serviceAccount"): string {
  return Object.keys(SUBJECTS).find((kind) => SUBJECTS[kind] === field) ?? "";
}

/** A list that must be there, in which "*" stands alone. */
function list(values: readonly string[] | undefined, path: string, needed: string, others: string): FieldError[] {
  if ((values ?? []).length === 0) return [required(path, needed)];
  if (values!.includes("*") && values!.length > 1) {
    return [invalid(path, values, `if '*' is present, must not specify other ${others}`)];
  }
  return [];
}

function validateVerbs(verbs: readonly string[] | undefined, path: string): FieldError[] {
  const errors = list(verbs, path, "verbs must contain at least one value", "verbs");
  if ((verbs ?? []).includes("*") || (verbs ?? []).every((verb) => VERBS.includes(verb))) return errors;
  return [...errors, notSupported(path, verbs, VERBS)];
}

function validateResourceRule(rule: ResourcePolicyRule, path: string): FieldError[] {
  const namespaces = rule.namespaces ?? [];
  const errors = [
    ...validateVerbs(rule.verbs, `${path}.verbs`),
    ...list(rule.apiGroups, `${path}.apiGroups`, "resource rules must supply at least one api group", "api groups"),
    ...list(rule.resources, `${path}.resources`, "resource rules must supply at least one resource", "resources"),
  ];
  const at = `${path}.namespaces`;
  const needed = "resource rules that are not cluster scoped must supply at least one namespace";
  if (namespaces.length === 0 && rule.clusterScope !== true) errors.push(required(at, needed));
  else if (namespaces.includes("*")) errors.push(...list(namespaces, at, needed, "namespaces"));
  else {
    const why = "each member of this list must be '*' or a DNS-1123 label; ";
    errors.push(
      ...each(namespaces, at, (name, item) =>
        isDns1123Label(name).map((message) => invalid(item, name, why + message)),
      ),
    );
  }
  return errors;
}

/** A path, whose last segment may be "*". */
function urlProblem(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (url === "/") return undefined;
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  const star = url.indexOf("*");
  return star < 0 || (star === url.length - 1 && url[star - 1] === "/")
    ? undefined
    : "wildcard can only do suffix matching";
}

function validateNonResourceRule({ verbs, nonResourceURLs: urls }: NonResourcePolicyRule, path: string): FieldError[] {
  const at = `${path}.nonResourceURLs`;
  const needed = "nonResourceURLs must contain at least one value";
  return [
    ...validateVerbs(verbs, `${path}.verbs`),
    ...list(urls, at, needed, "non-resource URLs"),
    ...(urls?.includes("*") === true
      ? []
      : each(urls, at, (url, item) => {
          const problem = urlProblem(url);
          return problem === undefined ? [] : [invalid(item, url, problem)];
        })),
  ];
}

function validateRules(rules: PolicyRulesWithSubjects, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rules;
  if (subjects.length === 0) errors.push(required(`${path}.subjects`, "subjects must contain at least one value"));
  errors.push(...each(subjects, `${path}.subjects`, validateSubject));
  if (resourceRules.length === 0 && nonResourceRules.length === 0) {
    errors.push(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"));
  }
  return [
    ...errors,
    ...each(resourceRules, `${path}.resourceRules`, validateResourceRule),
    ...each(nonResourceRules, `${path}.nonResourceRules`, validateNonResourceRule),
  ];
}

export function validateFlowSchema({ spec, metadata }: FlowSchema): FieldError[] {
  const errors: FieldError[] = [];
  const precedence = spec.matchingPrecedence ?? 0;
  if (precedence <= 0) errors.push(invalid("spec.matchingPrecedence", precedence, "must be a positive value"));
  if (precedence > MAX_PRECEDENCE) {
    errors.push(invalid("spec.matchingPrecedence", precedence, `must not be greater than ${MAX_PRECEDENCE}`));
  }
  if (precedence === 1 && metadata.name !== "exempt") {
    errors.push(
      invalid("spec.matchingPrecedence", precedence, "only the schema named 'exempt' may have matchingPrecedence 1"),
    );
  }
  const method = spec.distinguisherMethod;
  if (method !== undefined && !["ByNamespace", "ByUser"].includes(method.type)) {
    errors.push(notSupported("spec.distinguisherMethod.type", method.type ?? "", ["ByNamespace", "ByUser"]));
  }
  const level = spec.priorityLevelConfiguration?.name;
  if (isEmpty(level)) errors.push(required("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  else errors.push(...dnsSubdomain(level!, "spec.priorityLevelConfiguration.name"));
  return [...errors, ...each(spec.rules, "spec.rules", validateRules)];
}

const MAX_QUEUES = 10_000_000;
/** Bits of entropy that dealing a hand may need. */
const MAX_HAND_BITS = 60;

function validateQueuing(limited: LimitedPriorityLevelConfiguration, path: string): FieldError[] {
  const response = limited.limitResponse;
  const errors: FieldError[] = [];
  const at = `${path}.limitResponse`;
  if (response?.type === "Reject") {
    if (response.queuing !== undefined)
      errors.push(forbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited"));
    return errors;
  }
  if (response?.type !== "Queue") return [notSupported(`${at}.type`, response?.type ?? "", ["Queue", "Reject"])];
  const queuing = response.queuing;
  if (queuing === undefined)
    return [required(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited")];
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  if (queueLengthLimit <= 0)
    errors.push(invalid(`${at}.queuing.queueLengthLimit`, queueLengthLimit, "must be positive"));
  if (queues <= 0) errors.push(invalid(`${at}.queuing.queues`, queues, "must be positive"));
  else if (queues > MAX_QUEUES)
    errors.push(invalid(`${at}.queuing.queues`, queues, `must not be greater than ${MAX_QUEUES}`));
  if (handSize <= 0) errors.push(invalid(`${at}.queuing.handSize`, handSize, "must be positive"));
  else if (handSize > queues) {
    errors.push(invalid(`${at}.queuing.handSize`, handSize, `should not be greater than queues (${queues})`));
  } else if (handSize * Math.log2(queues) > MAX_HAND_BITS) {
    errors.push(
      invalid(
        `${at}.queuing.handSize`,
        handSize,
        `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${MAX_HAND_BITS}`,
      ),
    );
  }
  return errors;
}

export function validatePriorityLevel({ spec, metadata }: PriorityLevelConfiguration): FieldError[] {
  const { type, limited, exempt } = spec;
  const errors: FieldError[] = [];
  if ((type === "Exempt") !== (metadata.name === "exempt")) {
    errors.push(invalid("spec.type", type ?? "", "type must be 'Exempt' if and only if name is 'exempt'"));
  }
  if (type === "Exempt") {
    if (limited !== undefined) errors.push(forbidden("spec.limited", "must be nil if the type is not Limited"));
    errors.push(...nonNegative(exempt?.nominalConcurrencyShares, "spec.exempt.nominalConcurrencyShares"));
    return [...errors, ...inRange(exempt?.lendablePercent, 0, 100, "spec.exempt.lendablePercent")];
  }
  if (type !== "Limited") return [...errors, notSupported("spec.type", type ?? "", ["Exempt", "Limited"])];
  if (exempt !== undefined) errors.push(forbidden("spec.exempt", "must be nil if the type is Limited"));
  if (limited === undefined) return [...errors, required("spec.limited", "must not be empty when type is Limited")];
  errors.push(...nonNegative(limited.nominalConcurrencyShares, "spec.limited.nominalConcurrencyShares"));
  errors.push(...validateQueuing(limited, "spec.limited"));
  errors.push(...inRange(limited.lendablePercent, 0, 100, "spec.limited.lendablePercent"));
  return [...errors, ...nonNegative(limited.borrowingLimitPercent, "spec.limited.borrowingLimitPercent")];
}

/** Conditions of either kind: each has a type of its own. */
export function validateFlowConditions({ status }: FlowSchema | PriorityLevelConfiguration): FieldError[] {
  const seen = new Set<string>();
  return each<{ type?: string }>(status?.conditions, "status.conditions", ({ type = "" }, at) => {
    const errors = seen.has(type) ? [duplicate(`${at}.type`, type)] : [];
    seen.add(type);
    return type === "" ? [...errors, required(`${at}.type`, "must not be empty")] : errors;
  });
}
