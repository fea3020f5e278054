import { isDns1123Label } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { Namespace } from "../types/core-v1.ts";
import { printNamespace } from "./print.ts";
import { validateNamespace, validateNamespaceFinalizers, validateNamespaceStatus } from "./validation/node.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";
const KUBERNETES_FINALIZER = "kubernetes";

function labelWithName(namespace: Namespace): void {
  const { name } = namespace.metadata;
  if (name === undefined || name === "") return;
  if (namespace.metadata.labels?.[NAME_LABEL] === name) return;
  namespace.metadata.labels = { ...namespace.metadata.labels, [NAME_LABEL]: name };
}

export const namespace = defineResource<Namespace>({
  group: "",
  version: "v1",
  kind: "Namespace",
  printRow: printNamespace,
  initialStatus: { phase: "Active" },
  strategy: {
    generation: false,
    defaults: labelWithName,
    prepareForCreate(namespace) {
      // A generated name is only known now.
      labelWithName(namespace);
      const finalizers = namespace.spec?.finalizers ?? [];
      if (!finalizers.includes(KUBERNETES_FINALIZER)) finalizers.push(KUBERNETES_FINALIZER);
      namespace.spec = { ...namespace.spec, finalizers };
    },
    prepareForUpdate(namespace, old) {
      namespace.spec = old.spec;
      namespace.status = old.status;
    },
    validate: validateNamespace,
    validateName: isDns1123Label,
  },
  status: { validateUpdate: validateNamespaceStatus },
  updates: {
    finalize: {
      prepareForUpdate(namespace, old) {
        namespace.status = old.status;
      },
      validateUpdate: validateNamespaceFinalizers,
    },
  },
});
