/** Manifests that several tests need. Images are those of the local registry. */

export const BUSYBOX = "busybox:1.35";
export const NGINX = "nginx:1.14.2";
export const NETTOOLS = "kubits/nettools:1.0";

export interface PodOptions {
  readonly command?: readonly string[];
  readonly labels?: Record<string, string>;
  readonly finalizers?: readonly string[];
  readonly image?: string;
  readonly spec?: object;
  readonly container?: object;
}

/** A pod with one container that sleeps unless told otherwise, and goes away at once when deleted. */
export function pod(name: string, options: PodOptions = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name, ...options.labels }, finalizers: options.finalizers },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "main",
          image: options.image ?? BUSYBOX,
          ...(options.image === undefined || options.command !== undefined
            ? { command: options.command ?? ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"] }
            : {}),
          ...options.container,
        },
      ],
      ...options.spec,
    },
  };
}

export interface ServiceOptions {
  readonly selector: Record<string, string>;
  readonly ports: readonly object[];
  readonly spec?: object;
}

export function service(name: string, { selector, ports, spec }: ServiceOptions): object {
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec: { selector, ports, ...spec } };
}
