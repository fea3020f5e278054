/** Fills Secrets of type service-account-token with a token that does not expire, and removes those of dead accounts. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { ignoreNotFound, isConflict, isNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { secrets, serviceAccounts } from "#pkg/api/refs.ts";
import type { Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

const TYPE = "kubernetes.io/service-account-token";
const ACCOUNT_NAME = "kubernetes.io/service-account.name";
const ACCOUNT_UID = "kubernetes.io/service-account.uid";
const CLAIM = "kubernetes.io/serviceaccount/";

/** serviceaccount-token-controller; undefined without a key to sign with. */
export function createServiceAccountTokenController(env: ControllerEnv): Controller | undefined {
  const { clock, informers, options } = env;
  if (options.serviceAccountPrivateKey === "") return undefined;
  const key = createPrivateKey(options.serviceAccountPrivateKey);
  const queue = createQueue(clock);
  const add = (secret: Secret) => {
    if (secret.type === TYPE) queue.add(keyString(keyOf(secret)));
  };
  const addSecrets = ({ metadata }: ServiceAccount) => {
    for (const secret of informers.of(secrets).lister.list(metadata.namespace))
      if (secret.metadata.annotations?.[ACCOUNT_NAME] === metadata.name) add(secret);
  };
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.of(secrets), { onAdd: add, onUpdate: add }),
      watching(informers.of(serviceAccounts), { onAdd: addSecrets, onDelete: addSecrets }),
    ],
    reconcile: (secretKey, context) => reconcile(env, key, secretKey, context),
  });
}

async function reconcile(
  env: ControllerEnv,
  key: KeyObject,
  secretKey: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { client, informers, options } = env;
  const secret = informers.of(secrets).lister.get(secretKey);
  if (secret === undefined || secret.type !== TYPE) return DONE;
  const accountName = secret.metadata.annotations?.[ACCOUNT_NAME] ?? "";
  if (accountName === "") return DONE;
  const account = await findAccount(env, { namespace: secretKey.namespace, name: accountName }, signal);
  const uid = secret.metadata.annotations?.[ACCOUNT_UID];
  try {
    if (account === undefined || (uid !== undefined && uid !== "" && uid !== account.metadata.uid)) {
      await client.delete(secrets, secretKey, { preconditions: { uid: secret.metadata.uid }, signal });
      return DONE;
    }
    const next = fill(secret, account, options.rootCa, () => legacyToken(key, secret, account));
    if (next !== undefined) await client.update(secrets, next, { signal });
  } catch (error) {
    if (isNotFound(error)) return DONE;
    if (isConflict(error)) return { requeueAfterMs: 100 };
    throw error;
  }
  return DONE;
}

async function findAccount(
  { client, informers }: ControllerEnv,
  key: ObjectKey,
  signal: AbortSignal,
): Promise<ServiceAccount | undefined> {
  const cached = informers.of(serviceAccounts).lister.get(key);
  if (cached !== undefined) return cached;
  return ignoreNotFound(client.get(serviceAccounts, key, { signal }));
}

/** The secret with everything it lacks; undefined when it lacks nothing. */
export function fill(secret: Secret, account: ServiceAccount, rootCa: string, token: () => string): Secret | undefined {
  const data = secret.data ?? {};
  const encode = (text: string) => Buffer.from(text).toString("base64");
  const missing: Record<string, string> = {};
  if (rootCa !== "" && data["ca.crt"] !== encode(rootCa)) missing["ca.crt"] = encode(rootCa);
  if ((data["namespace"] ?? "") === "") missing["namespace"] = encode(secret.metadata.namespace ?? "");
  if ((data["token"] ?? "") === "") missing["token"] = encode(token());
  const annotated = secret.metadata.annotations?.[ACCOUNT_UID] === account.metadata.uid;
  if (annotated && Object.keys(missing).length === 0) return undefined;
  const annotations = { ...secret.metadata.annotations, [ACCOUNT_UID]: account.metadata.uid };
  return { ...secret, metadata: { ...secret.metadata, annotations }, data: { ...data, ...missing } };
}

function legacyToken(key: KeyObject, secret: Secret, account: ServiceAccount): string {
  const { namespace, name, uid } = account.metadata;
  const publicKey = createPublicKey(key);
  const keyId = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");
  const algorithm = publicKey.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    iss: "kubernetes/serviceaccount",
    [`${CLAIM}namespace`]: namespace,
    [`${CLAIM}secret.name`]: secret.metadata.name,
    [`${CLAIM}service-account.name`]: name,
    [`${CLAIM}service-account.uid`]: uid,
    sub: `system:serviceaccount:${namespace}:${name}`,
  };
  const input = `${encode({ alg: algorithm, kid: keyId })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}
