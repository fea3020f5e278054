import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from "#pkg/api/types/admissionregistration-v1.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import { badRequest, internalError } from "#pkg/apimachinery/index.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import { type Logger, type Random, errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { Equivalents } from "../equivalents.ts";
import { forbidden } from "../attributes.ts";
import { AdmissionSelectors, isExempt, type MatchedResource, matchRules } from "../rules.ts";
import { WebhookCallError, type WebhookClient } from "./client.ts";
import { type ConditionCompiler, type Conditions, noConditions } from "./conditions.ts";
import { UnusableAnswerError } from "./response-types.ts";
import { buildReview, parseVerdict, reviewVersion, type Verdict, type Versioned } from "./review.ts";

type Configuration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration;
export type Webhook = MutatingWebhook | ValidatingWebhook;

/** One webhook of one configuration, prepared for matching. */
export interface Hook {
  readonly configuration: string;
  /** Position in its configuration; with the configuration's name its identity. */
  readonly index: number;
  readonly webhook: Webhook;
  readonly selectors: AdmissionSelectors;
  readonly conditions: Conditions;
}

export interface WebhookDeps {
  readonly client: WebhookClient;
  readonly namespaces: ObjectSource<Namespace>;
  readonly equivalents: Equivalents;
  readonly random: Random;
  readonly log: Logger;
  /** Compiles matchConditions; without it a webhook with conditions fails by its failurePolicy. */
  readonly compileConditions?: ConditionCompiler;
}

/** The webhooks of all configurations in upstream's order: by configuration name, then by position. */
export class HookList {
  readonly #compile: ConditionCompiler | undefined;
  readonly #configurations = new Map<string, readonly Hook[]>();
  #sorted: readonly Hook[] | undefined = [];

  constructor(source: ObjectSource<Configuration>, compile: ConditionCompiler | undefined) {
    this.#compile = compile;
    source.onChange(({ type, object }) => {
      const { name } = object.metadata;
      if (type === "DELETED") this.#configurations.delete(name);
      else this.#configurations.set(name, this.#prepare(object));
      this.#sorted = undefined;
    });
  }

  get hooks(): readonly Hook[] {
    this.#sorted ??= [...this.#configurations].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, hooks]) => hooks);
    return this.#sorted;
  }

  #prepare({ metadata, webhooks = [] }: Configuration): Hook[] {
    return webhooks.map((webhook, index) => ({
      configuration: metadata.name,
      index,
      webhook,
      selectors: new AdmissionSelectors(webhook.namespaceSelector, webhook.objectSelector),
      conditions: (webhook.matchConditions ?? []).length === 0 ? noConditions : conditionsOf(webhook, this.#compile),
    }));
  }
}

function conditionsOf(webhook: Webhook, compile: ConditionCompiler | undefined): Conditions {
  if (compile !== undefined) return compile(webhook.matchConditions ?? []);
  return { matches: () => Promise.reject(new Error("match conditions are not supported by this server")) };
}

/** What matching and calling have in common for mutating and validating webhooks. */
export class HookCaller {
  readonly #deps: WebhookDeps;
  constructor(deps: WebhookDeps) {
    this.#deps = deps;
  }

  /** The resource through which a hook concerns the request; conditions not looked at yet. */
  match(hook: Hook, attributes: AdmissionAttributes): MatchedResource | undefined {
    if (isExempt(attributes)) return undefined;
    const { webhook, selectors } = hook;
    const exact = webhook.matchPolicy === "Exact";
    const equivalents = (): readonly ResourceDefinition[] => this.#deps.equivalents.of(attributes.resource);
    const matched = matchRules(webhook.rules ?? [], exact, attributes, equivalents);
    if (matched === undefined) return undefined;
    if (!selectors.matchesNamespace(attributes, this.#deps.namespaces)) return undefined;
    return selectors.matchesObject(attributes) ? matched : undefined;
  }

  /**
   * Asks one webhook. undefined: it did not apply after all (conditions), or it failed and may be ignored.
   * @throws StatusError when it failed and may not be ignored, or cannot do a dry run.
   */
  async ask(
    hook: Hook,
    matched: MatchedResource,
    attributes: AdmissionAttributes,
    mutating: boolean,
  ): Promise<{ verdict: Verdict; versioned: Versioned } | undefined> {
    const { webhook } = hook;
    const versioned = await this.#versioned(matched, attributes);
    const uid = this.#deps.random.uuid();
    const version = reviewVersion(webhook.admissionReviewVersions);
    const review = buildReview(uid, attributes, versioned, version);
    if (hook.conditions !== noConditions) {
      try {
        if (!(await hook.conditions.matches(review, attributes, versioned))) return undefined;
      } catch (error) {
        if (webhook.failurePolicy === "Ignore") return undefined;
        throw forbidden(attributes, errorMessage(error));
      }
    }
    if (attributes.dryRun && webhook.sideEffects !== "None" && webhook.sideEffects !== "NoneOnDryRun") {
      throw badRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
    }
    try {
      if (version === undefined)
        throw new WebhookCallError(webhook.name, "no AdmissionReview version is accepted by both sides");
      const answer = await this.#deps.client.call(
        webhook.name,
        webhook.clientConfig,
        webhook.timeoutSeconds ?? 10,
        review,
      );
      const verdict = checked(webhook.name, () => parseVerdict(uid, answer, mutating, version));
      for (const [key, value] of Object.entries(verdict.auditAnnotations))
        attributes.annotate(`${webhook.name}/${key}`, value);
      for (const warning of verdict.warnings) attributes.warn(warning);
      return { verdict, versioned };
    } catch (error) {
      if (!(error instanceof WebhookCallError)) throw error;
      return this.#failed(hook, attributes, mutating, error);
    }
  }

  /** A webhook that could not be asked: ignored or fatal, as it says itself. */
  #failed(hook: Hook, attributes: AdmissionAttributes, mutating: boolean, error: Error): undefined {
    const { webhook, configuration } = hook;
    const fields = { webhook: webhook.name, configuration, err: error };
    if (webhook.failurePolicy !== "Ignore") {
      this.#deps.log.warn(fields, "Failed calling webhook, failing closed");
      throw internalError(error.message);
    }
    this.#deps.log.warn(fields, "Failed calling webhook, failing open");
    const kind = mutating ? "mutation" : "validating";
    attributes.annotate(`failed-open.${kind}.webhook.admission.k8s.io/round_0_index_${hook.index}`, webhook.name);
    return undefined;
  }

  async #versioned(matched: MatchedResource, attributes: AdmissionAttributes): Promise<Versioned> {
    const { object, oldObject, resource, subresource } = attributes;
    if (matched.definition === resource) return { matched, object, oldObject };
    // Subresource kinds of their own (Scale, Eviction, options) are the same in all versions.
    const sub = resource.subresources.find(({ name }) => name === subresource);
    if (sub !== undefined && sub.kind !== resource.kind) return { matched, object, oldObject };
    const { equivalents } = this.#deps;
    return {
      matched,
      object: object === undefined ? undefined : await equivalents.convert(object, resource, matched.definition),
      oldObject:
        oldObject === undefined ? undefined : await equivalents.convert(oldObject, resource, matched.definition),
    };
  }
}

function checked<T>(webhook: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const prefix = cause instanceof UnusableAnswerError ? "" : "received invalid webhook response: ";
    throw new WebhookCallError(webhook, `${prefix}${errorMessage(cause)}`, { cause });
  }
}
