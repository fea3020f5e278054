import type { CustomResourceDefinition } from "#pkg/api/types/apiextensions-v1.ts";
import { internalError, isRecord, type KubeObject, type StatusError } from "#pkg/apimachinery/index.ts";
import type { Random } from "#pkg/util/index.ts";
import type { ObjectConverter } from "../registry/installed.ts";

/** Posts a review to a webhook and returns its parsed answer. */
export interface WebhookCaller {
  call(
    name: string,
    config: {
      url?: string;
      service?: { name: string; namespace: string; path?: string; port?: number };
      caBundle?: string;
    },
    timeoutSeconds: number | undefined,
    body: object,
  ): Promise<unknown>;
}

const TIMEOUT_SECONDS = 30;
const REVIEW_GROUP = "apiextensions.k8s.io";
const SUPPORTED = ["v1", "v1beta1"];

/** Conversion between the versions of a custom resource by a webhook (apiextensions ConversionReview). */
export class WebhookConverter implements ObjectConverter {
  readonly #crd: CustomResourceDefinition;
  readonly #webhooks: WebhookCaller;
  readonly #random: Random;

  constructor(crd: CustomResourceDefinition, webhooks: WebhookCaller, random: Random) {
    this.#crd = crd;
    this.#webhooks = webhooks;
    this.#random = random;
  }
  async convert(objects: readonly Readonly<KubeObject>[], apiVersion: string): Promise<KubeObject[]> {
    const { conversion, names } = this.#crd.spec;
    const webhook = conversion?.webhook;
    const fail = (why: string): StatusError =>
      internalError(`conversion webhook for ${apiVersion}, Kind=${names.kind} failed: ${why}`);
    if (webhook?.clientConfig === undefined) throw fail("no webhook is configured");
    const version = webhook.conversionReviewVersions.find((each) => SUPPORTED.includes(each)) ?? "v1";
    const uid = this.#random.uuid();
    const review = {
      kind: "ConversionReview",
      apiVersion: `${REVIEW_GROUP}/${version}`,
      request: { uid, desiredAPIVersion: apiVersion, objects },
    };
    let answer: unknown;
    try {
      answer = await this.#webhooks.call(this.#crd.metadata.name, webhook.clientConfig, TIMEOUT_SECONDS, review);
    } catch (error) {
      throw fail(error instanceof Error ? error.message : String(error));
    }
    const converted = readAnswer(answer, uid, version === "v1", objects.length);
    if (typeof converted === "string") throw fail(converted);
    return objects.map((original, index) => {
      const merged = merge(original, converted[index], apiVersion);
      if (typeof merged === "string") throw fail(`invalid converted object at index ${index}: ${merged}`);
      return merged;
    });
  }
}

/** The objects of an answer, or what is wrong with it. */
function readAnswer(answer: unknown, uid: string, strict: boolean, count: number): unknown[] | string {
  const response = isRecord(answer) ? answer["response"] : undefined;
  if (!isRecord(response)) return "the answer has no response";
  if (strict && response["uid"] !== uid)
    return `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"])}`;
  const result = isRecord(response["result"]) ? response["result"] : {};
  if (result["status"] !== "Success") {
    const message = result["message"];
    return typeof message === "string" && message !== ""
      ? message
      : `response.result.status was ${JSON.stringify(result["status"])}`;
  }
  const objects = response["convertedObjects"];
  if (!Array.isArray(objects) || objects.length !== count) {
    return `webhook returned ${Array.isArray(objects) ? objects.length : 0} objects, expected ${count}`;
  }
  return objects;
}

/** A converter may change labels and annotations; everything else of the metadata stays what it was. */
function merge(original: Readonly<KubeObject>, converted: unknown, apiVersion: string): KubeObject | string {
  if (!isRecord(converted)) return "it is not an object";
  if (converted["apiVersion"] !== apiVersion) return `invalid groupVersion: ${String(converted["apiVersion"])}`;
  if (converted["kind"] !== original.kind) return `invalid kind: ${String(converted["kind"])}`;
  const metadata = converted["metadata"];
  if (!isRecord(metadata)) return "metadata is missing";
  for (const field of ["name", "namespace", "uid"] as const) {
    if ((metadata[field] ?? "") !== (original.metadata[field] ?? "")) return `must not change metadata.${field}`;
  }
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata;
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...rest } = converted;
  return {
    apiVersion,
    kind: original.kind,
    metadata: {
      ...kept,
      ...(isRecord(metadata["labels"]) ? { labels: metadata["labels"] as Record<string, string> } : {}),
      ...(isRecord(metadata["annotations"]) ? { annotations: metadata["annotations"] as Record<string, string> } : {}),
    },
    ...rest,
  };
}
