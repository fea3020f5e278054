import { defineResource } from "../define.ts";
import type { CustomResourceDefinition } from "../types/apiextensions-v1.ts";
const DEFAULT_WEBHOOK_PORT = 443;

/** What needs schemas, patterns and CEL to be compiled, validation above all, is in the API server's extensions. */
export const customResourceDefinition = defineResource<CustomResourceDefinition>({
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  // The shape that is stored is that of v1; the older version survives only in the storage version hash.
  storage: { group: "apiextensions.k8s.io", version: "v1" },
  initialStatus: { conditions: [], acceptedNames: { kind: "", plural: "" }, storedVersions: [] },
  strategy: {
    defaults({ spec }) {
      if (spec?.names === undefined) return;
      spec.names.singular ||= (spec.names.kind ?? "").toLowerCase();
      if (!spec.names.listKind && spec.names.kind) spec.names.listKind = `${spec.names.kind}List`;
      spec.conversion ??= { strategy: "None" };
      const service = spec.conversion.webhook?.clientConfig?.service;
      if (service !== undefined) service.port ??= DEFAULT_WEBHOOK_PORT;
    },
    prepareForCreate(definition) {
      const stored = definition.spec?.versions?.find(({ storage }) => storage)?.name;
      if (stored !== undefined) definition.status!.storedVersions = [stored];
    },
    prepareForUpdate(definition, old) {
      definition.status = old.status;
      const stored = definition.spec?.versions?.find(({ storage }) => storage)?.name;
      const known = old.status?.storedVersions ?? [];
      if (stored === undefined || known.includes(stored)) return;
      definition.status = { ...old.status!, storedVersions: [...known, stored] };
    },
    allowUnconditionalUpdate: false,
  },
});
