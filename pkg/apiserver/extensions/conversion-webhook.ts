import type { CustomResourceDefinition } from "#pkg/api/types/apiextensions-v1.ts";
import {
  deepEqual,
  isRecord,
  jsonKind,
  type KubeObject,
  StatusError,
  validateAnnotations,
  validateLabels,
} from "#pkg/apimachinery/index.ts";
import { type Random, errorMessage } from "#pkg/util/index.ts";
import { assertAnswers, documentType, isNamed, unnamedReview, wrongReview } from "../http/webhook-review.ts";
import type { ObjectConverter } from "../registry/installed.ts";

/** Posts a review to a webhook and returns its parsed answer. Rejects with an Error that says why there is none. */
export interface WebhookCaller {
  exchange(
    config: {
      url?: string;
      service?: { name: string; namespace: string; path?: string; port?: number };
      caBundle?: string;
    },
    timeoutSeconds: number | undefined,
    body: object,
  ): Promise<Record<string, unknown>>;
}

const TIMEOUT_SECONDS = 30;
const REVIEW_GROUP = "apiextensions.k8s.io";
const SUPPORTED = ["v1", "v1beta1"];
const REVIEW_TYPES = new Set(SUPPORTED.map((version) => `${REVIEW_GROUP}/${version}, Kind=ConversionReview`));

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
    const [first] = objects;
    if (first === undefined) return [];
    const fail = (why: string): StatusError => failure(first, why);
    const { webhook } = this.#crd.spec.conversion ?? {};
    if (webhook?.clientConfig === undefined) throw fail("failed: no webhook is configured");
    const version = webhook.conversionReviewVersions.find((each) => SUPPORTED.includes(each)) ?? "v1";
    const uid = this.#random.uuid();
    const review = {
      kind: "ConversionReview",
      apiVersion: `${REVIEW_GROUP}/${version}`,
      request: { uid, desiredAPIVersion: apiVersion, objects },
    };
    let converted: unknown[];
    try {
      const answer = await this.#webhooks.exchange(webhook.clientConfig, TIMEOUT_SECONDS, review);
      converted = convertedObjects(answer, uid, version);
    } catch (error) {
      throw fail(`failed: ${errorMessage(error)}`);
    }
    if (converted.length !== objects.length)
      throw fail(`returned ${converted.length} objects, expected ${objects.length}`);
    return objects.map((original, index) => {
      const object = readable(converted[index]);
      const merged = merge(original, object, apiVersion);
      if (typeof merged === "string") throw failure(original, `returned invalid ${merged}`);
      return merged;
    });
  }
}

/** Upstream gives these errors no reason: their text is all there is. */
function failure({ apiVersion, kind }: Readonly<KubeObject>, why: string): StatusError {
  return unexplained(`conversion webhook for ${apiVersion}, Kind=${kind} ${why}`);
}
function unexplained(message: string): StatusError {
  return new StatusError({ status: "Failure", message, code: 500 });
}

/** What has been converted as an object that names its kind. @throws StatusError 500 */
function readable(converted: unknown): Record<string, unknown> {
  if (!isRecord(converted))
    throw unexplained(`json: cannot unmarshal ${jsonKind(converted)} into Go value of type map[string]interface {}`);
  if (typeof converted["kind"] !== "string" || converted["kind"] === "")
    throw unexplained(`Object 'Kind' is missing in '${JSON.stringify(converted)}'`);
  return converted;
}

/** The objects of an answer. @throws Error that says what is wrong with it. */
function convertedObjects(answer: Record<string, unknown>, uid: string, version: string): unknown[] {
  const strict = version === "v1";
  assertReview(answer, version);
  const { response } = answer;
  if (!isRecord(response)) throw new Error("no response provided");
  if (strict) assertAnswers(uid, response);
  const { status = "", message } = isRecord(response["result"]) ? response["result"] : {};
  if (status !== "Success") {
    if (typeof message === "string" && message !== "") throw new Error(message);
    throw new Error(`response.result.status was '${String(status)}', not 'Success'`);
  }
  const objects = response["convertedObjects"] ?? [];
  if (Array.isArray(objects)) return objects;
  const field = "ConversionResponse.response.convertedObjects of type []runtime.RawExtension";
  throw new Error(`json: cannot unmarshal ${jsonKind(objects)} into Go struct field ${field}`);
}

/** An answer has to be a review of the version sent; one of v1beta1 need not say so. @throws Error */
function assertReview(answer: Record<string, unknown>, version: string): void {
  const [found, wanted] = [
    documentType(answer),
    { apiVersion: `${REVIEW_GROUP}/${version}`, kind: "ConversionReview" },
  ];
  const why = wrongReview(found, wanted, REVIEW_TYPES);
  if (why !== undefined) throw new Error(why);
  if (version === "v1" && !isNamed(found)) throw new Error(unnamedReview(found, wanted));
}

/** A converter may change labels and annotations; everything else of the metadata stays what it was. */
function merge(
  original: Readonly<KubeObject>,
  converted: Record<string, unknown>,
  apiVersion: string,
): KubeObject | string {
  const { apiVersion: version = "", kind = "", metadata, ...rest } = converted;
  if (version !== apiVersion)
    return `object at index 0: invalid groupVersion (expected ${apiVersion}, received ${String(version)})`;
  if (kind !== original.kind)
    return `object at index 0: invalid kind (expected ${original.kind}, received ${String(kind)})`;
  const given = isRecord(metadata) ? metadata : {};
  for (const [field, shown] of KEPT) {
    const [before, after] = [original.metadata[field] ?? "", String(given[field] ?? "")];
    if (before !== after) return `object: must have the same ${shown}: ${before} != ${after}`;
  }
  if (!isRecord(metadata)) return "metadata: missing metadata in converted object";
  const { labels, annotations, ...kept } = original.metadata;
  const texts: Pick<KubeObject["metadata"], "labels" | "annotations"> = {};
  for (const field of ["labels", "annotations"] as const) {
    const value = metadata[field] ?? undefined;
    if (value === undefined) continue;
    if (!isRecord(value)) return `metadata: invalid metadata.${field} of type ${goType(value)} in converted object`;
    for (const [key, text] of Object.entries(value))
      if (typeof text !== "string")
        return `metadata: metadata.${field}[${key}] must be a string, but is ${goType(text)} in converted object`;
    texts[field] = value as Record<string, string>;
  }
  const errors = [
    ...(deepEqual(texts.labels, labels) ? [] : validateLabels(texts.labels, "metadata.labels")),
    ...(deepEqual(texts.annotations, annotations) ? [] : validateAnnotations(texts.annotations, "metadata.annotation")),
  ].map(({ field, message }) => `${field}: ${message}`);
  if (errors.length > 0) return `metadata: ${errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`}`;
  return { apiVersion, kind: original.kind, metadata: { ...kept, ...texts }, ...rest };
}
const KEPT = [
  ["name", "name"],
  ["namespace", "namespace"],
  ["uid", "UID"],
] as const;

/** How Go names the type of a decoded value. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "number") return Number.isInteger(value) ? "int64" : "float64";
  if (typeof value === "object") return value === null ? "<nil>" : "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : typeof value;
}
