import { compileCel, listOf, mapOf, type Program, STRING, structType } from "#pkg/apimachinery/cel/index.ts";
import { parseDuration } from "#pkg/config/index.ts";
import { errorMessage } from "#pkg/util/index.ts";

/** One authorizer of an AuthorizationConfiguration, in its place. */
export interface AuthorizerSettings {
  readonly type: "Node" | "RBAC" | "Webhook" | "AlwaysAllow" | "AlwaysDeny";
  readonly name: string;
  readonly webhook?: AuthorizationWebhookSettings;
}
export interface AuthorizationWebhookSettings {
  readonly timeoutMs: number;
  readonly version: "v1" | "v1beta1";
  readonly allowedTtlMs: number;
  readonly refusedTtlMs: number;
  /** What a webhook that cannot be asked means. */
  readonly failurePolicy: "NoOpinion" | "Deny";
  /** In kubeconfig's format; undefined: the API that this server's pod belongs to. */
  readonly kubeConfigFile: string | undefined;
  readonly conditions: ReviewConditions;
}

/** Should a webhook be asked about this review? @throws Error when an expression fails and none says no */
export type ReviewConditions = (spec: object) => boolean;

interface WebhookFile {
  readonly timeout?: string;
  readonly authorizedTTL?: string;
  readonly unauthorizedTTL?: string;
  readonly subjectAccessReviewVersion?: string;
  readonly matchConditionSubjectAccessReviewVersion?: string;
  readonly failurePolicy?: string;
  readonly connectionInfo?: { readonly type?: string; readonly kubeConfigFile?: string };
  readonly matchConditions?: readonly { readonly expression: string }[];
}

const API_VERSIONS = new Set(["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"]);
const TYPES: readonly string[] = ["Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny"];
const MAX_TIMEOUT_MS = 30_000;

/** The review as expressions see it: every field of an attribute is there, empty where the request has none. */
const REQUEST_TYPE = structType("kubernetes.SubjectAccessReviewSpec", {
  user: STRING,
  groups: listOf(STRING),
  uid: STRING,
  extra: mapOf(STRING, listOf(STRING)),
  resourceAttributes: structType("kubernetes.ResourceAttributes", {
    namespace: STRING,
    verb: STRING,
    group: STRING,
    version: STRING,
    resource: STRING,
    subresource: STRING,
    name: STRING,
    fieldSelector: structType("kubernetes.FieldSelectorAttributes", { rawSelector: STRING }),
    labelSelector: structType("kubernetes.LabelSelectorAttributes", { rawSelector: STRING }),
  }),
  nonResourceAttributes: structType("kubernetes.NonResourceAttributes", { path: STRING, verb: STRING }),
});

/**
 * Checks a parsed `--authorization-config` file (KEP-3221) and compiles its expressions.
 * @throws TypeError naming the field that is wrong.
 */
export function parseAuthorizationConfiguration(value: unknown): readonly AuthorizerSettings[] {
  const file = (value ?? {}) as {
    apiVersion?: string;
    kind?: string;
    authorizers?: { type?: string; name?: string; webhook?: WebhookFile }[];
  };
  if (file.kind !== "AuthorizationConfiguration" || !API_VERSIONS.has(file.apiVersion ?? "")) {
    throw new TypeError("the file must be an AuthorizationConfiguration of apiserver.config.k8s.io/v1");
  }
  const authorizers = file.authorizers ?? [];
  if (authorizers.length === 0)
    throw new TypeError("authorizers: Required value: at least one authorization mode must be defined");
  const seen = new Set<string>();
  return authorizers.map(({ type = "", name = "", webhook }, index) => {
    const path = `authorizers[${index}]`;
    if (type === "") throw new TypeError(`${path}.type: Required value`);
    if (!TYPES.includes(type)) throw new TypeError(`${path}.type: Unsupported value: ${JSON.stringify(type)}`);
    if (name === "") throw new TypeError(`${path}.name: Required value`);
    for (const [field, text] of [
      ["name", `name ${name}`],
      ...(type === "Webhook" ? [] : [["type", `type ${type}`]]),
    ] as const) {
      if (seen.has(text))
        throw new TypeError(`${path}.${field}: Duplicate value: ${JSON.stringify(field === "name" ? name : type)}`);
      seen.add(text);
    }
    const known = { type: type as AuthorizerSettings["type"], name };
    if (type !== "Webhook") {
      if (webhook !== undefined)
        throw new TypeError(`${path}.webhook: Invalid value: may only be specified when type=Webhook`);
      return known;
    }
    if (webhook === undefined) throw new TypeError(`${path}.webhook: Required value: required when type=Webhook`);
    return { ...known, webhook: webhookOf(webhook, `${path}.webhook`) };
  });
}

function webhookOf(webhook: WebhookFile, path: string): AuthorizationWebhookSettings {
  const timeoutMs = duration(webhook.timeout, `${path}.timeout`);
  if (timeoutMs === undefined) throw new TypeError(`${path}.timeout: Required value`);
  if (timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS)
    throw new TypeError(`${path}.timeout: Invalid value: ${JSON.stringify(webhook.timeout)}: must be > 0s and <= 30s`);
  const { failurePolicy, subjectAccessReviewVersion: version, connectionInfo, matchConditions = [] } = webhook;
  if (version !== "v1" && version !== "v1beta1")
    throw new TypeError(`${path}.subjectAccessReviewVersion: ${required(version)}: supported values: "v1", "v1beta1"`);
  if (failurePolicy !== "NoOpinion" && failurePolicy !== "Deny")
    throw new TypeError(`${path}.failurePolicy: ${required(failurePolicy)}: supported values: "NoOpinion", "Deny"`);
  const { type, kubeConfigFile } = connectionInfo ?? {};
  const connection = `${path}.connectionInfo`;
  if (type !== "KubeConfigFile" && type !== "InClusterConfig")
    throw new TypeError(`${connection}.type: ${required(type)}: supported values: "InClusterConfig", "KubeConfigFile"`);
  if (type === "InClusterConfig" && kubeConfigFile !== undefined)
    throw new TypeError(
      `${connection}.kubeConfigFile: Invalid value: ${JSON.stringify(kubeConfigFile)}: can only be set when type=KubeConfigFile`,
    );
  if (type === "KubeConfigFile" && (kubeConfigFile ?? "") === "")
    throw new TypeError(`${connection}.kubeConfigFile: Required value`);
  if (matchConditions.length > 0 && webhook.matchConditionSubjectAccessReviewVersion !== "v1")
    throw new TypeError(
      `${path}.matchConditionSubjectAccessReviewVersion: ${required(webhook.matchConditionSubjectAccessReviewVersion)}: supported values: "v1"`,
    );
  return {
    timeoutMs,
    version,
    allowedTtlMs: duration(webhook.authorizedTTL, `${path}.authorizedTTL`) ?? 300_000,
    refusedTtlMs: duration(webhook.unauthorizedTTL, `${path}.unauthorizedTTL`) ?? 30_000,
    failurePolicy,
    kubeConfigFile,
    conditions: conditionsOf(matchConditions, `${path}.matchConditions`),
  };
}

function required(value: string | undefined): string {
  return value === undefined || value === "" ? "Required value" : `Unsupported value: ${JSON.stringify(value)}`;
}

function duration(text: string | undefined, path: string): number | undefined {
  if (text === undefined) return undefined;
  const parsed = parseDuration(text);
  if (parsed === undefined) throw new TypeError(`${path}: Invalid value: ${JSON.stringify(text)}: not a duration`);
  return parsed;
}

function conditionsOf(conditions: readonly { readonly expression: string }[], path: string): ReviewConditions {
  const programs = conditions.map(({ expression }, index) => compile(expression, `${path}[${index}].expression`));
  if (programs.length === 0) return () => true;
  return (spec) => {
    const request = { uid: "", groups: [], extra: {}, ...spec };
    let failure: Error | undefined;
    for (const program of programs) {
      const result = program.evaluate({ request });
      if (result.error !== undefined) failure ??= result.error;
      else if (result.value !== true) return false;
    }
    if (failure !== undefined) throw failure;
    return true;
  };
}

function compile(expression: string, path: string): Program {
  let program: Program;
  try {
    program = compileCel(expression, { variables: { request: REQUEST_TYPE } });
  } catch (cause) {
    throw new TypeError(
      `${path}: Invalid value: ${JSON.stringify(expression)}: compilation failed: ${errorMessage(cause)}`,
      { cause },
    );
  }
  const { kind } = program.resultType;
  if (kind === "bool" || kind === "dyn") return program;
  throw new TypeError(`${path}: Invalid value: ${JSON.stringify(expression)}: must evaluate to bool`);
}
