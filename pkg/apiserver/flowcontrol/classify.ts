import type {
  FlowSchema,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from "#pkg/api/types/flowcontrol-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { splitServiceAccountUserName } from "../authn/index.ts";

/** What a request is, for flow control: the request target has all of it. */
export interface FlowRequest {
  readonly resourceRequest: boolean;
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly query: URLSearchParams;
}

function subjectMatches({ kind, user, group, serviceAccount }: Subject, who: UserInfo): boolean {
  if (kind === "User") return user !== undefined && (user.name === "*" || user.name === who.name);
  if (kind === "Group") return group !== undefined && (group.name === "*" || who.groups.includes(group.name));
  const account = splitServiceAccountUserName(who.name);
  if (account === undefined || serviceAccount === undefined) return false;
  return (
    serviceAccount.namespace === account.namespace &&
    (serviceAccount.name === "*" || serviceAccount.name === account.name)
  );
}

const listed = (values: readonly string[] | null | undefined, value: string): boolean =>
  values?.some((own) => own === "*" || own === value) === true;

function resourceRuleMatches(rule: ResourcePolicyRule, request: FlowRequest): boolean {
  const resource = request.subresource === "" ? request.resource : `${request.resource}/${request.subresource}`;
  if (!listed(rule.verbs, request.verb) || !listed(rule.apiGroups, request.group) || !listed(rule.resources, resource))
    return false;
  return request.namespace === "" ? rule.clusterScope === true : listed(rule.namespaces, request.namespace);
}

function urlMatches(urls: readonly string[], path: string): boolean {
  return urls.some((url) => url === "*" || url === path || (url.endsWith("/*") && path.startsWith(url.slice(0, -1))));
}

function ruleMatches(rule: PolicyRulesWithSubjects, request: FlowRequest): boolean {
  if (request.resourceRequest) return rule.resourceRules?.some((own) => resourceRuleMatches(own, request)) === true;
  return (
    rule.nonResourceRules?.some(
      ({ verbs, nonResourceURLs }) => listed(verbs, request.verb) && urlMatches(nonResourceURLs, request.path),
    ) === true
  );
}

/** The flow schemas in the order in which they are asked: by precedence, then by name. */
function orderFlowSchemas(schemas: readonly FlowSchema[]): FlowSchema[] {
  const precedence = ({ spec }: FlowSchema): number => spec.matchingPrecedence ?? 1000;
  return [...schemas].sort((a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

interface SchemaRules {
  readonly schema: FlowSchema;
  readonly rules: readonly PolicyRulesWithSubjects[];
}

/** Finds the first schema that matches a request. */
export class FlowClassifier {
  readonly #ordered: readonly FlowSchema[];
  /** Authentication answers with the same user again and again: which rules are about it is found once. */
  readonly #byUser = new WeakMap<UserInfo, readonly SchemaRules[]>();

  constructor(schemas: readonly FlowSchema[]) {
    this.#ordered = orderFlowSchemas(schemas);
  }
  classify(user: UserInfo, request: FlowRequest): FlowSchema | undefined {
    let own = this.#byUser.get(user);
    if (own === undefined) this.#byUser.set(user, (own = this.#rulesAbout(user)));
    return own.find(({ rules }) => rules.some((rule) => ruleMatches(rule, request)))?.schema;
  }

  #rulesAbout(user: UserInfo): SchemaRules[] {
    return this.#ordered
      .map((schema) => {
        const isAbout = ({ subjects }: PolicyRulesWithSubjects) =>
          subjects.some((subject) => subjectMatches(subject, user));
        return { schema, rules: schema.spec.rules?.filter(isAbout) ?? [] };
      })
      .filter(({ rules }) => rules.length > 0);
  }
}

/** Names the flow within a schema: requests of one flow share a fate, flows compete with each other. */
export function flowOf(schema: FlowSchema, user: UserInfo, request: FlowRequest): string {
  const method = schema.spec.distinguisherMethod?.type;
  const distinguisher = method === "ByUser" ? user.name : method === "ByNamespace" ? request.namespace : "";
  return `${schema.metadata.name}\0${distinguisher}`;
}
