import { LRUCache } from "lru-cache";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { type Clock, type Logger, errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import { postReview, type ReviewWebhookConfig } from "../../review-webhook.ts";
import { objectAs, oldObjectAs, refusal } from "../attributes.ts";
import type { WebhookTransport } from "../webhook/client.ts";

export interface ImagePolicySettings {
  readonly webhook: ReviewWebhookConfig;
  readonly allowTtlMs: number;
  readonly denyTtlMs: number;
  /** May pods be created while the webhook cannot be asked? */
  readonly defaultAllow: boolean;
}
export interface ImagePolicyDeps {
  readonly transport: WebhookTransport;
  readonly clock: Clock;
  readonly log: Logger;
}
interface ImageReviewStatus {
  readonly allowed?: boolean;
  readonly reason?: string;
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}

const CACHED_ANSWERS = 1024;
const FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open";

/** Asks a webhook whether a pod's images may run. Off by default; set up by --admission-control-config-file. */
export class ImagePolicyWebhook implements AdmissionPlugin {
  readonly name = "ImagePolicyWebhook";
  readonly #settings: ImagePolicySettings;
  readonly #deps: ImagePolicyDeps;
  readonly #answers = new LRUCache<string, { readonly status: ImageReviewStatus; readonly until: number }>({
    max: CACHED_ANSWERS,
  });
  constructor(settings: ImagePolicySettings, deps: ImagePolicyDeps) {
    this.#settings = settings;
    this.#deps = deps;
  }
  handles({ resource, operation, subresource }: AdmissionAttributes): boolean {
    if (resource.group !== "" || resource.plural !== "pods") return false;
    return operation === "CREATE" ? subresource === "" : operation === "UPDATE" && subresource !== "status";
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const images = imagesOf(objectAs<Pod>(attributes));
    const before = oldObjectAs<Pod>(attributes);
    if (before !== undefined && imagesOf(before).join("\n") === images.join("\n")) return;
    const { annotations = {} } = attributes.object?.metadata ?? {};
    const relevant = Object.entries(annotations).filter(([key]) => /\.image-policy\.k8s\.io\//.test(key));
    const spec = {
      containers: images.map((image) => ({ image })),
      ...(relevant.length === 0 ? {} : { annotations: Object.fromEntries(relevant) }),
      namespace: attributes.namespace,
    };
    let status: ImageReviewStatus;
    try {
      status = await this.#ask(spec);
    } catch (err) {
      this.#deps.log.warn({ err }, "Image policy webhook could not be asked");
      if (!this.#settings.defaultAllow) throw refusal(attributes, errorMessage(err));
      attributes.annotate(FAILED_OPEN, "true");
      return;
    }
    for (const [key, value] of Object.entries(status.auditAnnotations ?? {}))
      attributes.annotate(`imagepolicywebhook.image-policy.k8s.io/${key}`, value);
    if (status.allowed === true) return;
    const denied = "image policy webhook backend denied one or more images";
    throw refusal(attributes, (status.reason ?? "") === "" ? denied : `${denied}: ${status.reason}`);
  }

  async #ask(spec: object): Promise<ImageReviewStatus> {
    const { clock } = this.#deps;
    const { webhook, allowTtlMs, denyTtlMs } = this.#settings;
    const key = JSON.stringify(spec);
    const known = this.#answers.get(key);
    if (known !== undefined && clock.monotonic() < known.until) return known.status;
    const review = { apiVersion: "imagepolicy.k8s.io/v1alpha1", kind: "ImageReview", spec };
    const status = await postReview<ImageReviewStatus>(this.#deps, webhook, review);
    this.#answers.set(key, { status, until: clock.monotonic() + (status.allowed === true ? allowTtlMs : denyTtlMs) });
    return status;
  }
}

function imagesOf({ spec }: Pod): string[] {
  const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])];
  return all.map(({ image }) => image ?? "");
}
