/** Bootstrap tokens: signs kube-public/cluster-info with each, and removes those that have expired. Off by default. */
import { timingSafeEqual } from "node:crypto";
import { deepEqual, ignoreNotFound, keyOf, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { configMaps, secrets } from "#pkg/api/refs.ts";
import type { ConfigMap, Secret } from "#pkg/api/types/core-v1.ts";
import { detachedSignature } from "#pkg/pki/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

const TYPE = "bootstrap.kubernetes.io/token";
const TOKEN_NAMESPACE = "kube-system";
const CLUSTER_INFO = { namespace: "kube-public", name: "cluster-info" };
const PREFIX = "jws-kubeconfig-";

function decoded(secret: Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
}

/** Epoch milliseconds at which a token ends; Infinity without an end; 0 when it cannot be read (so it has ended). */
export function expiryOf(secret: Secret): number {
  const text = decoded(secret, "expiration");
  if (text === "") return Infinity;
  const at = Date.parse(text);
  return Number.isNaN(at) ? 0 : at;
}

/** Tokens that may sign, by id. */
export function signingTokens(all: readonly Secret[], now: number): Map<string, string> {
  const tokens = new Map<string, string>();
  for (const secret of all) {
    const id = decoded(secret, "token-id");
    const value = decoded(secret, "token-secret");
    const isUsable =
      secret.type === TYPE &&
      secret.metadata.deletionTimestamp === undefined &&
      /^[a-z0-9]{6}$/.test(id) &&
      value !== "" &&
      secret.metadata.name === `bootstrap-token-${id}` &&
      decoded(secret, "usage-bootstrap-signing") === "true" &&
      expiryOf(secret) > now;
    if (isUsable) tokens.set(id, value);
  }
  return tokens;
}

function sameText(a: string | undefined, b: string): boolean {
  if (a === undefined || a.length !== b.length) return false;
  return timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** cluster-info's data with a signature for each token, and none of others. */
export function signedData(info: ConfigMap, tokens: ReadonlyMap<string, string>): Record<string, string> {
  const content = info.data?.["kubeconfig"];
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries(info.data ?? {})) if (!key.startsWith(PREFIX)) data[key] = value;
  if (content === undefined) return data;
  for (const [id, secret] of tokens) {
    const signature = detachedSignature(content, { id, secret });
    const before = info.data?.[PREFIX + id];
    data[PREFIX + id] = sameText(before, signature) ? before! : signature;
  }
  return data;
}

/** bootstrap-signer-controller. */
export function createBootstrapSigner(env: ControllerEnv): Controller {
  const { client, clock, informers } = env;
  const queue = createQueue(clock);
  const sign = () => queue.add(`${CLUSTER_INFO.namespace}/${CLUSTER_INFO.name}`);
  const onSecret = ({ metadata, type }: Secret) => {
    if (metadata.namespace === TOKEN_NAMESPACE && type === TYPE) sign();
  };
  const onInfo = ({ metadata }: ConfigMap) => {
    if (metadata.namespace === CLUSTER_INFO.namespace && metadata.name === CLUSTER_INFO.name) sign();
  };
  return createLoop(env, {
    workers: 1,
    queue,
    sources: [
      watching(informers.of(secrets), { onAdd: onSecret, onUpdate: onSecret, onDelete: onSecret }),
      watching(informers.of(configMaps), { onAdd: onInfo, onUpdate: onInfo }),
    ],
    async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
      const info = informers.of(configMaps).lister.get(key);
      if (info === undefined) return DONE;
      const data = signedData(info, signingTokens(informers.of(secrets).lister.list(TOKEN_NAMESPACE), clock.now()));
      if (!deepEqual(info.data ?? {}, data)) await client.update(configMaps, { ...info, data }, { signal });
      return DONE;
    },
  });
}

/** token-cleaner-controller. */
export function createTokenCleaner(env: ControllerEnv): Controller {
  const { client, clock, informers } = env;
  const queue = createQueue(clock);
  const add = ({ metadata, type }: Secret) => {
    if (metadata.namespace === TOKEN_NAMESPACE && type === TYPE) queue.add(`${metadata.namespace}/${metadata.name}`);
  };
  return createLoop(env, {
    workers: 1,
    queue,
    sources: [watching(informers.of(secrets), { onAdd: add, onUpdate: add })],
    async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
      const secret = informers.of(secrets).lister.get(key);
      if (secret === undefined || secret.type !== TYPE) return DONE;
      const left = expiryOf(secret) - clock.now();
      if (left === Infinity) return DONE;
      if (left > 0) return { requeueAfterMs: left };
      await ignoreNotFound(
        client.delete(secrets, keyOf(secret), { preconditions: { uid: secret.metadata.uid }, signal }),
      );
      return DONE;
    },
  });
}
