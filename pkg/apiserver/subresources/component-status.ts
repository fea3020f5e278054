import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { notFound } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { encodeObject, sendBytes } from "../http/reply.ts";
import type { Call } from "../registry/call.ts";
import type { ConnectHandler } from "../registry/dispatch.ts";
import { parseListOptions } from "../registry/options.ts";
import { includeObjectOf, negotiate, sendObject } from "../registry/represent.ts";
import { selectionOf } from "../registry/selection.ts";
import { tableOf } from "../registry/table.ts";

/** Returns undefined when the component is well, otherwise what is wrong with it. */
export type ComponentProbe = () => Promise<string | undefined> | string | undefined;

const LIST_MESSAGE = "k8s.io.api.core.v1.ComponentStatusList";

/** GET of componentstatuses: asks each component now. */
export function serveComponentStatuses(probes: ReadonlyMap<string, ComponentProbe>): ConnectHandler {
  return async (call) => {
    const { name } = call.target;
    if (name !== "") {
      const probe = probes.get(name);
      if (probe === undefined) throw notFound(call.installed.subject, name);
      await sendObject(call, 200, await statusOf(name, probe));
      return;
    }
    selectionOf(call.installed, call.target, parseListOptions(call.target.query, false));
    await sendList(call, await Promise.all(Array.from(probes, ([each, probe]) => statusOf(each, probe))));
  };
}

async function statusOf(name: string, probe: ComponentProbe): Promise<KubeObject> {
  let problem: string | undefined;
  try {
    problem = await probe();
  } catch (error) {
    problem = errorMessage(error);
  }
  const condition =
    problem === undefined
      ? { type: "Healthy", status: "True", message: "ok" }
      : { type: "Healthy", status: "False", message: problem, error: problem };
  return {
    apiVersion: "v1",
    kind: "ComponentStatus",
    metadata: { name },
    conditions: [condition],
  };
}

async function sendList(call: Call, items: KubeObject[]): Promise<void> {
  const { encoding, transform, metaVersion } = negotiate(call);
  if (transform === "Table") {
    const table = tableOf(call.installed.definition, {}, items, includeObjectOf(call), call.now, metaVersion);
    await sendBytes(call, 200, encoding, encodeObject(encoding, table));
    return;
  }
  const list = { kind: "ComponentStatusList", apiVersion: "v1", metadata: {}, items };
  await sendBytes(call, 200, encoding, encodeObject(encoding, list, LIST_MESSAGE));
}
