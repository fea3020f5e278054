import type { KubeObject, UserInfo } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../contract.ts";

type Parts = Partial<Omit<AdmissionAttributes, "resource" | "object" | "oldObject">> & {
  readonly object?: object;
  readonly oldObject?: object;
  readonly kind?: string;
};

export interface TestAttributes extends AdmissionAttributes {
  readonly warnings: string[];
  readonly annotations: Record<string, string>;
}

/** Attributes for tests: "apps/deployments" or "pods", with what matters given and the rest filled in. */
export function attributesFor(resource: string, { object, oldObject, kind, ...parts }: Parts = {}): TestAttributes {
  const slash = resource.indexOf("/");
  const group = slash < 0 ? "" : resource.slice(0, slash);
  const plural = resource.slice(slash + 1);
  const definition = {
    group,
    version: "v1",
    plural,
    kind: kind ?? plural,
    namespaced: parts.namespace !== "",
    etcdPrefix: plural,
  };
  const warnings: string[] = [];
  const annotations: Record<string, string> = {};
  const user: UserInfo = { name: "tester", groups: ["system:authenticated"] };
  return {
    operation: oldObject === undefined ? "CREATE" : "UPDATE",
    subresource: "",
    namespace: "ns",
    name: (object as KubeObject | undefined)?.metadata?.name ?? "",
    user,
    dryRun: false,
    options: {},
    ...parts,
    resource: definition as unknown as AdmissionAttributes["resource"],
    object: object as KubeObject | undefined,
    oldObject: oldObject as KubeObject | undefined,
    warnings,
    annotations,
    warn: (text) => warnings.push(text),
    annotate: (key, value) => {
      annotations[key] = value;
    },
  };
}

/** Runs one plugin as the chain would: not at all when it does not handle the request. */
export async function run(plugin: AdmissionPlugin, attributes: AdmissionAttributes): Promise<AdmissionAttributes> {
  if (plugin.handles(attributes)) {
    await plugin.admit?.(attributes);
    await plugin.validate?.(attributes);
  }
  return attributes;
}
