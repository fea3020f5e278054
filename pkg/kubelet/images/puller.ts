/** Brings images to the node: policies, credentials, backoff, one pull per image at a time, and the events of it. */
import { parseImageReference } from "#pkg/api/rules/index.ts";
import type { Container, EphemeralContainer, Pod, Secret } from "#pkg/api/types/core-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { type Clock, type Logger, errorMessage } from "#pkg/util/index.ts";
import { isRuntimeError, rpcText } from "../cri/runtime.ts";
import type { Image, ImageSpec, Runtime, SandboxConfig } from "../cri/runtime.ts";
import { BackoffTable } from "../pod/backoff.ts";
import { Slots } from "../slots.ts";
import type { ImageAccess } from "./access.ts";
import { credentialsFor } from "./credentials.ts";
import type { Credential } from "./credentials.ts";
import type { CredentialProviders } from "./providers.ts";
import { referenceProblem, withDefaultTag } from "./reference.ts";

/** An image that cannot be had; `reason` is what the container's waiting state shows. */
export class ImageError extends Error {
  readonly reason: "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError";
  /** When another try makes sense; epoch milliseconds. */
  readonly retryAt: number | undefined;
  constructor(reason: ImageError["reason"], message: string, retryAt?: number, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
    this.retryAt = retryAt;
  }
}

/** An image that is on the node. */
export interface PulledImage {
  readonly spec: ImageSpec;
  readonly image: Image;
}

/** Records what has become of a pull. */
export type ImageEvent = (type: "Normal" | "Warning", reason: string, message: string) => void;

interface PullRequest {
  readonly pod: Pod;
  readonly container: Pick<Container | EphemeralContainer, "image" | "imagePullPolicy">;
  readonly secrets: readonly Secret[];
  readonly sandbox: SandboxConfig | undefined;
  readonly runtimeHandler: string;
  readonly event: ImageEvent;
  readonly signal: AbortSignal;
}

export class ImagePuller {
  readonly #runtime: Runtime;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #backoff = new BackoffTable(10_000, 300_000);
  readonly #failures = new Map<string, { readonly at: number; readonly why: string }>();
  readonly #slots: Slots;
  readonly #access: ImageAccess;
  readonly #providers: Pick<CredentialProviders, "credentialsFor">;
  readonly #onPulled: (seconds: number, bytes: number) => void;
  /** Between the first pull for a pod and the end of the last, by its uid; monotonic times. */
  readonly #pulls = new Map<string, { readonly from: number; readonly to: number }>();
  /** When each image was last used here, by the monotonic clock, for image garbage collection. */
  readonly lastUsed = new Map<string, number>();

  constructor(deps: {
    runtime: Runtime;
    clock: Clock;
    log: Logger;
    maxParallelPulls: number;
    access: ImageAccess;
    /** What the node itself knows of registries. */
    providers: Pick<CredentialProviders, "credentialsFor">;
    onPulled: (seconds: number, bytes: number) => void;
  }) {
    this.#runtime = deps.runtime;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#slots = new Slots(deps.maxParallelPulls);
    this.#access = deps.access;
    this.#providers = deps.providers;
    this.#onPulled = deps.onPulled;
  }

  /** The image as the runtime knows it, pulled first when the policy says so. Rejects with ImageError. */
  async ensure(request: PullRequest): Promise<PulledImage> {
    const { container, event } = request;
    const written = container.image ?? "";
    if (parseImageReference(written) === undefined) {
      const why = referenceProblem(written);
      const message = `Failed to apply default image tag ${goQuote(written)}: couldn't parse image name ${goQuote(written)}: ${why}`;
      event("Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message);
    }
    const name = withDefaultTag(written);
    const spec: ImageSpec = { image: name, userSpecifiedImage: written, runtimeHandler: request.runtimeHandler };
    const credentials = await this.#credentials(request, spec);
    const present = await this.#inspect(spec, written, request);
    const policy = container.imagePullPolicy ?? (name.endsWith(":latest") ? "Always" : "IfNotPresent");
    const accessible = present !== undefined && (await this.#access.allows(name, present, credentials));
    if (present !== undefined && accessible && policy !== "Always") {
      event(
        "Normal",
        "Pulled",
        `Container image ${goQuote(written)} already present on machine and can be accessed by the pod`,
      );
      this.lastUsed.set(present.id, this.#clock.monotonic());
      return { spec, image: present };
    }
    if (policy === "Never") {
      const message =
        present === undefined
          ? `Container image ${goQuote(written)} is not present with pull policy of Never`
          : `Container image ${goQuote(written)} is present with pull policy of Never but does not have the proper auth (image secret) that was used to pull the image`;
      event("Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message);
    }
    return this.#pull(request, spec, written, credentials);
  }

  async #inspect(spec: ImageSpec, written: string, request: PullRequest): Promise<Image | undefined> {
    try {
      return await this.#runtime.imageStatus(spec, { signal: request.signal });
    } catch (cause) {
      const why = errorMessage(cause);
      const message = `Failed to inspect image ${goQuote(written)}: ${why}`;
      request.event("Warning", "InspectFailed", message);
      throw new ImageError("ImageInspectError", message, undefined, { cause });
    }
  }

  async #pull(
    request: PullRequest,
    spec: ImageSpec,
    written: string,
    credentials: readonly Credential[],
  ): Promise<PulledImage> {
    const { event, pod, signal } = request;
    const key = `${pod.metadata.uid}_${written}`;
    const failure = this.#failures.get(key);
    const waiting = failure === undefined ? undefined : this.#backoff.waiting(key, failure.at, this.#clock.now());
    if (failure !== undefined && waiting !== undefined) {
      const message = `Back-off pulling image ${goQuote(written)}`;
      event("Normal", "BackOff", message);
      throw new ImageError("ImagePullBackOff", `${message}: ErrImagePull: ${failure.why}`, waiting.untilMs);
    }
    event("Normal", "Pulling", `Pulling image ${goQuote(written)}`);
    const queuedAt = this.#clock.monotonic();
    await this.#slots.enter(signal);
    const startedAt = this.#clock.monotonic();
    try {
      const image = await this.#pullWithAny(request, spec, credentials);
      const seconds = (from: number) => formatDuration(this.#clock.monotonic() - from);
      event(
        "Normal",
        "Pulled",
        `Successfully pulled image ${goQuote(written)} in ${seconds(startedAt)} (${seconds(queuedAt)} including waiting). Image size: ${image.sizeBytes} bytes.`,
      );
      const now = this.#clock.monotonic();
      this.#onPulled((now - startedAt) / 1000, image.sizeBytes);
      this.#pulls.set(pod.metadata.uid, { from: this.#pulls.get(pod.metadata.uid)?.from ?? queuedAt, to: now });
      this.#failures.delete(key);
      this.lastUsed.set(image.id, this.#clock.monotonic());
      return { spec, image };
    } catch (cause) {
      if (signal.aborted) throw cause;
      const now = this.#clock.now();
      this.#backoff.next(key, now, now);
      // An unknown code says nothing, and upstream leaves it out.
      const why = isRuntimeError(cause, "Unknown") ? cause.message : rpcText(cause);
      this.#failures.set(key, { at: now, why });
      event("Warning", "Failed", `Failed to pull image ${goQuote(written)}: ${why}`);
      throw new ImageError("ErrImagePull", why, this.#backoff.waiting(key, now, now)?.untilMs, { cause });
    } finally {
      this.#slots.leave();
    }
  }

  /** The pod's own come first. */
  async #credentials({ secrets, signal }: PullRequest, { image }: ImageSpec): Promise<Credential[]> {
    const own = credentialsFor(image, secrets, ({ metadata: { name, namespace } }, err) =>
      this.#log.warn({ err, secret: name, namespace }, "A pull secret could not be read"),
    );
    return [...own, ...(await this.#providers.credentialsFor(image, signal))];
  }

  /** Pulls with the first credential that opens the registry, or with none where the pod has none. */
  async #pullWithAny(
    { sandbox, signal }: PullRequest,
    spec: ImageSpec,
    credentials: readonly Credential[],
  ): Promise<Image> {
    if (credentials.length > 0) await this.#access.announce(spec.image);
    let failure: unknown;
    for (const credential of credentials.length === 0 ? [undefined] : credentials) {
      try {
        await this.#runtime.pullImage(spec, credential?.auth, sandbox, { signal });
        const image = await this.#runtime.imageStatus(spec, { signal });
        if (image === undefined) throw new Error(`the runtime does not know ${spec.image} after pulling it`);
        await this.#access.settle(spec.image, { id: image.id, credential });
        return image;
      } catch (error) {
        failure = error;
      }
    }
    // Interrupted, it may yet arrive: the announcement stands until somebody has pulled it to the end.
    if (!signal.aborted) await this.#access.settle(spec.image);
    throw failure;
  }

  /** How long pulling took that the pod has waited for, in milliseconds. */
  pullingMs(podUid: string): number {
    const { from = 0, to = 0 } = this.#pulls.get(podUid) ?? {};
    return to - from;
  }

  forget(podUid: string): void {
    this.#pulls.delete(podUid);
    this.#backoff.forget(podUid);
    for (const key of this.#failures.keys()) if (key.startsWith(podUid)) this.#failures.delete(key);
  }
}

/** As Go prints durations rounded to milliseconds: 950ms, 1.25s, 2m3.4s. */
function formatDuration(ms: number): string {
  const rounded = Math.round(ms);
  if (rounded < 1000) return `${rounded}ms`;
  const minutes = Math.floor(rounded / 60_000);
  const seconds = (rounded % 60_000) / 1000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}
