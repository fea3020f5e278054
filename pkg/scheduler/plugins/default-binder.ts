import { keyOf } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Client } from "#pkg/client/index.ts";
import { failed } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

/** Binds through the pod's binding subresource. */
export function defaultBinder(client: Client): Plugin {
  return {
    name: "DefaultBinder",
    bind: async ({ pod }, nodeName, _cycle, signal) => {
      const { name, namespace, uid } = pod.metadata;
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, namespace, uid },
        target: { kind: "Node", name: nodeName },
      };
      try {
        await client.createSubresource(pods, keyOf(pod), "binding", binding, { signal });
        return undefined;
      } catch (error) {
        return failed(error);
      }
    },
  };
}
