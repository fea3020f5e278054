import type { Duplex } from "node:stream";
import type Docker from "dockerode";
import type { ContainerEvent } from "../cri/runtime.ts";
import { must, translate } from "./calls.ts";
import { POD_UID_LABEL } from "./convert.ts";

/** What happens to our containers, from Docker's event stream, until aborted. */
export async function* containerEvents(docker: Docker, signal: AbortSignal): AsyncIterable<ContainerEvent> {
  const filters = {
    type: ["container" as const],
    event: ["create", "start", "die", "destroy"],
    label: ["io.kubernetes.docker.type"],
  };
  const stream = (await must(() => docker.getEvents({ filters }))) as Duplex;
  const onAbort = () => stream.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  const types = { create: "Created", start: "Started", die: "Stopped", destroy: "Deleted" } as const;
  let rest = "";
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") continue;
        const { Action, Actor } = JSON.parse(line) as {
          Action: string;
          Actor: { ID: string; Attributes: Record<string, string> };
        };
        const type = types[Action as keyof typeof types];
        if (type !== undefined) yield { type, containerId: Actor.ID, podUid: Actor.Attributes[POD_UID_LABEL] };
      }
    }
  } catch (error) {
    if (!signal.aborted) throw translate(error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    stream.destroy();
  }
}
