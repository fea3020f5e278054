/** Marks legacy token secrets that nobody has used for a year invalid, and removes them a year later (KEP-2799). */
import { isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Controller } from "#pkg/client/index.ts";
import { configMaps, secrets, serviceAccounts } from "#pkg/api/refs.ts";
import type { Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { watching } from "../common/loop.ts";
import { createPeriodic } from "../common/periodic.ts";

const TYPE = "kubernetes.io/service-account-token";
const ACCOUNT_NAME = "kubernetes.io/service-account.name";
const LAST_USED = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";
const TRACKING = { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" };
const PERIOD_MS = 24 * 3600_000;

function isMounted(pod: Pod, secret: string): boolean {
  return (pod.spec.volumes ?? []).some((volume) => volume.secret?.secretName === secret);
}

/** legacy-serviceaccount-token-cleaner-controller. */
export function createLegacyTokenCleaner(env: ControllerEnv): Controller {
  const { clock, log, informers, name } = env;
  return createPeriodic({
    name,
    clock,
    log,
    periodMs: PERIOD_MS,
    sources: [
      watching(informers.of(secrets)),
      watching(informers.of(serviceAccounts)),
      watching(informers.of(configMaps)),
      watching(informers.pods()),
    ],
    step: (signal) => clean(env, signal),
  });
}

async function clean(env: ControllerEnv, signal: AbortSignal): Promise<void> {
  const { client, clock, informers, options } = env;
  const since = informers.of(configMaps).lister.get(TRACKING)?.data?.["since"];
  // Without a record of uses nothing can be called unused.
  if (since === undefined || Number.isNaN(Date.parse(since))) return;
  const limit = clock.now() - options.legacyServiceAccountTokenCleanUpPeriodMs;
  if (Date.parse(since) > limit) return;
  for (const secret of informers.of(secrets).lister.list()) {
    if (secret.type !== TYPE) continue;
    const namespace = secret.metadata.namespace ?? "";
    const name = secret.metadata.annotations?.[ACCOUNT_NAME] ?? "";
    const account = informers.of(serviceAccounts).lister.get({ namespace, name });
    const plan = planToken(secret, account, () => informers.pods().lister.list(namespace), limit);
    try {
      if (plan === "invalidate") {
        const labels = { [INVALID_SINCE]: new Date(clock.now()).toISOString().slice(0, 10) };
        await client.patch(
          secrets,
          keyOf(secret),
          "merge",
          { metadata: { uid: secret.metadata.uid, labels } },
          { signal },
        );
      } else if (plan === "remove")
        await client.delete(secrets, keyOf(secret), { preconditions: { uid: secret.metadata.uid }, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/**
 * What becomes of a token secret: one that was not used since `limit` is made invalid, and removed when it has been invalid
 * since then. Pure.
 */
export function planToken(
  { metadata }: Secret,
  account: ServiceAccount | undefined,
  podsOf: () => readonly Pod[],
  limit: number,
): "keep" | "invalidate" | "remove" {
  const lastUsed = metadata.labels?.[LAST_USED];
  if (lastUsed !== undefined && Date.parse(lastUsed) >= limit) return "keep";
  if (Date.parse(metadata.creationTimestamp) >= limit) return "keep";
  // Only secrets that were made automatically are listed by their account; hand-made ones are their makers' affair.
  if (account?.secrets?.some(({ name }) => name === metadata.name) !== true) return "keep";
  if (podsOf().some((pod) => isMounted(pod, metadata.name))) return "keep";
  const invalidSince = Date.parse(metadata.labels?.[INVALID_SINCE] ?? "");
  if (Number.isNaN(invalidSince)) return "invalidate"; // not marked yet, or with something that is no date
  return invalidSince < limit ? "remove" : "keep";
}
