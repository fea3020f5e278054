import { keyOf, keyString } from "#pkg/apimachinery/index.ts";
import type { EventHandler, Lister } from "#pkg/client/index.ts";
import type { Pod, Service } from "#pkg/api/types/core-v1.ts";
import { endpointChanged, serviceSelector } from "./services.ts";

/** Turns pod events into keys of the services that select the pod, before or after the change. */
export function servicePodsHandler(services: Lister<Service>, add: (key: string) => void): EventHandler<Pod> {
  const addFor = (pod: Pod) => {
    for (const service of services.list(pod.metadata.namespace))
      if (serviceSelector(service)?.matches(pod.metadata.labels) === true) add(keyString(keyOf(service)));
  };
  return {
    onAdd: addFor,
    onUpdate(pod, old) {
      if (!endpointChanged(pod, old)) return;
      addFor(pod);
      if (pod.metadata.labels !== old.metadata.labels) addFor(old);
    },
    onDelete: addFor,
  };
}
