import { defineResource } from "../define.ts";
import type { ConfigMap, Secret, ServiceAccount } from "../types/core-v1.ts";
import { printConfigMap, printSecret, printServiceAccount } from "./print.ts";
import {
  validateConfigMap,
  validateConfigMapUpdate,
  validateSecret,
  validateSecretUpdate,
} from "./validation/config.ts";

export const configMap = defineResource<ConfigMap>({
  group: "",
  version: "v1",
  kind: "ConfigMap",
  printRow: printConfigMap,
  strategy: { validate: validateConfigMap, validateUpdate: validateConfigMapUpdate },
});

/** stringData is a convenience of the wire: it is never stored or shown. */
function mergeStringData(secret: Secret): void {
  if (secret.stringData === undefined) return;
  secret.data ??= {};
  for (const [key, text] of Object.entries(secret.stringData)) {
    secret.data[key] = Buffer.from(text, "utf8").toString("base64");
  }
  delete secret.stringData;
}

export const secret = defineResource<Secret>({
  group: "",
  version: "v1",
  kind: "Secret",
  printRow: printSecret,
  strategy: { defaults: mergeStringData, validate: validateSecret, validateUpdate: validateSecretUpdate },
});

/** Of the secrets an account names, only their names are kept. */
function keepSecretNames(account: ServiceAccount): void {
  account.secrets &&= account.secrets.map(({ name }) => (name === undefined ? {} : { name }));
}

const MOUNTABLE = "kubernetes.io/enforce-mountable-secrets";
const MOUNTABLE_WARNING = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";

export const serviceAccount = defineResource<ServiceAccount>({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  printRow: printServiceAccount,
  strategy: {
    prepareForCreate: keepSecretNames,
    prepareForUpdate: keepSecretNames,
    warnings: ({ metadata }, old) =>
      metadata.annotations?.[MOUNTABLE] === undefined || old?.metadata.annotations?.[MOUNTABLE] !== undefined
        ? []
        : [`metadata.annotations[${MOUNTABLE}]: ${MOUNTABLE_WARNING}`],
  },
});
