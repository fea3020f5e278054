import type {
  Container,
  Pod,
  PodSpec,
  ProjectedVolumeSource,
  ServiceAccount as Account,
} from "#pkg/api/types/core-v1.ts";
import { type Clock, type Random, sleep } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { changeSpec, isOn, MIRROR_POD_ANNOTATION, objectAs, refusal } from "../attributes.ts";

const DEFAULT_ACCOUNT = "default";
const VOLUME_PREFIX = "kube-api-access-";
const TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const ENFORCE_MOUNTABLE_SECRETS = "kubernetes.io/enforce-mountable-secrets";
/** The odd second marks tokens nobody asked for explicitly; the API server extends those (see TokenRequest). */
const TOKEN_EXPIRATION_SECONDS = 3607;
/** A namespace's default account is made a moment after the namespace: pods wait for it this long. */
const DEFAULT_ACCOUNT_ATTEMPTS = 10;
const DEFAULT_ACCOUNT_DELAY_MS = 100;

export type AccountLookup = (namespace: string, name: string) => Promise<Account | undefined>;

/** Gives pods their service account: name, token volume, image pull secrets (KEP-1205). */
export class ServiceAccount implements AdmissionPlugin {
  readonly name = "ServiceAccount";
  readonly sparesShared = true;
  readonly #accounts: ObjectSource<Account>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #lookup: AccountLookup;
  /** Accounts that had to be looked up, for the validating pass. */
  readonly #found = new WeakMap<AdmissionAttributes, Account>();

  /** `lookup` reads consistently: with several servers the cache may not have seen a new account yet. */
  constructor(accounts: ObjectSource<Account>, clock: Clock, random: Random, lookup?: AccountLookup) {
    this.#accounts = accounts;
    this.#lookup = lookup ?? (async (namespace, name) => accounts.get(namespace, name));
    this.#clock = clock;
    this.#random = random;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE");
  }

  admit(attributes: AdmissionAttributes): void | Promise<void> {
    const pod = objectAs<Pod>(attributes);
    if (pod.metadata.annotations?.[MIRROR_POD_ANNOTATION] !== undefined || pod.spec === undefined) return undefined;
    const name = pod.spec.serviceAccountName || DEFAULT_ACCOUNT;
    const account = this.#accounts.get(attributes.namespace, name);
    if (account !== undefined) return this.#complete(pod, account);
    return this.#await(attributes, name).then((found) => this.#complete(pod, found));
  }

  validate(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    if (pod.metadata.annotations?.[MIRROR_POD_ANNOTATION] !== undefined) {
      checkMirrorPod(attributes, pod);
      return;
    }
    const name = pod.spec?.serviceAccountName ?? "";
    if (name === "")
      throw refusal(attributes, `no service account specified for pod ${attributes.namespace}/${attributes.name}`);
    const account = this.#accounts.get(attributes.namespace, name) ?? this.#found.get(attributes);
    if (account?.metadata.name !== name) throw missing(attributes, name);
    if (account.metadata.annotations?.[ENFORCE_MOUNTABLE_SECRETS] === "true") checkSecrets(attributes, pod, account);
  }

  async #await(attributes: AdmissionAttributes, name: string): Promise<Account> {
    const attempts = name === DEFAULT_ACCOUNT ? DEFAULT_ACCOUNT_ATTEMPTS : 1;
    for (let attempt = 1; ; attempt++) {
      const account = await this.#lookup(attributes.namespace, name);
      if (account !== undefined) {
        this.#found.set(attributes, account);
        return account;
      }
      if (attempt === attempts) break;
      await sleep(this.#clock, DEFAULT_ACCOUNT_DELAY_MS);
    }
    throw missing(attributes, name);
  }

  #complete(pod: Pod, account: Account): void {
    const { automountServiceAccountToken: mounts = true, imagePullSecrets: secrets = [] } = account;
    const { name } = account.metadata;
    const about = `${this.name} ${name} ${mounts}${secrets.length === 0 ? "" : JSON.stringify(secrets)}`;
    changeSpec(pod, about, (spec) => {
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      if (spec.automountServiceAccountToken ?? mounts) this.#mountToken(spec);
      if ((spec.imagePullSecrets ?? []).length === 0 && secrets.length > 0) {
        spec.imagePullSecrets = secrets.map((secret) => ({ ...secret }));
      }
    });
  }

  #mountToken(spec: PodSpec): void {
    const present = spec.volumes?.find(({ name = "" }) => name.startsWith(VOLUME_PREFIX))?.name;
    const volumeName = present ?? `${VOLUME_PREFIX}${this.#random.suffix(5)}`;
    const mount = (container: Container): boolean => {
      if (container.volumeMounts?.some(({ mountPath }) => mountPath === TOKEN_PATH)) return false;
      (container.volumeMounts ??= []).push({ name: volumeName, readOnly: true, mountPath: TOKEN_PATH });
      return true;
    };
    const mounted = [...(spec.initContainers ?? []), ...(spec.containers ?? [])].filter(mount);
    if (present === undefined && mounted.length > 0)
      (spec.volumes ??= []).push({ name: volumeName, projected: tokenVolume() });
  }
}

function tokenVolume(): ProjectedVolumeSource {
  return {
    sources: [
      { serviceAccountToken: { expirationSeconds: TOKEN_EXPIRATION_SECONDS, path: "token" } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      {
        downwardAPI: {
          items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
        },
      },
    ],
    defaultMode: 0o644,
  };
}

function missing(attributes: AdmissionAttributes, name: string): Error {
  const { namespace } = attributes;
  return refusal(
    attributes,
    `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
  );
}

interface SecretUse {
  readonly name: string;
  readonly where: string;
}

function* secretsOf(pod: Pod): Generator<SecretUse> {
  for (const volume of pod.spec?.volumes ?? []) {
    if (volume.secret?.secretName !== undefined) {
      yield {
        name: volume.secret.secretName,
        where: `volume with secret.secretName=${JSON.stringify(volume.secret.secretName)}`,
      };
    }
  }
  const kinds = [
    ["init container", pod.spec?.initContainers ?? []],
    ["container", pod.spec?.containers ?? []],
  ] as const;
  for (const [kind, containers] of kinds) {
    for (const container of containers) {
      for (const { name: variable, valueFrom } of container.env ?? []) {
        const name = valueFrom?.secretKeyRef?.name;
        if (name === undefined) continue;
        yield {
          name,
          where: `${kind} ${container.name} with envVar ${variable} referencing secret.secretName=${JSON.stringify(name)}`,
        };
      }
      for (const { secretRef } of container.envFrom ?? []) {
        if (secretRef?.name === undefined) continue;
        const { name } = secretRef;
        yield {
          name,
          where: `${kind} ${container.name} with envFrom referencing secret.secretName=${JSON.stringify(name)}`,
        };
      }
    }
  }
}

function checkSecrets(attributes: AdmissionAttributes, pod: Pod, account: Account): void {
  const mountable = new Set((account.secrets ?? []).map(({ name }) => name));
  const { name: accountName } = account.metadata;
  for (const { name, where } of secretsOf(pod)) {
    if (!mountable.has(name)) {
      throw refusal(
        attributes,
        `${where} is not allowed because service account ${accountName} does not reference that secret`,
      );
    }
  }
  const pullable = new Set((account.imagePullSecrets ?? []).map(({ name }) => name));
  for (const [index, { name }] of (pod.spec?.imagePullSecrets ?? []).entries()) {
    if (!pullable.has(name)) {
      const why = `imagePullSecrets[${index}].name=${JSON.stringify(name)} is not allowed because service account ${accountName} does not reference that imagePullSecret`;
      throw refusal(attributes, why);
    }
  }
}

function checkMirrorPod(attributes: AdmissionAttributes, pod: Pod): void {
  if ((pod.spec?.serviceAccountName ?? "") !== "")
    throw refusal(attributes, "a mirror pod may not reference service accounts");
  if (!secretsOf(pod).next().done) throw refusal(attributes, "a mirror pod may not reference secrets");
  for (const volume of pod.spec?.volumes ?? []) {
    if (volume.projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken !== undefined)) {
      throw refusal(attributes, "a mirror pod may not use ServiceAccountToken volume projections");
    }
  }
}
