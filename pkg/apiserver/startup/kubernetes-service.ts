import { createHash } from "node:crypto";
import { endpointSlices, endpoints, leases, services } from "#pkg/api/refs.ts";
import type { Lease } from "#pkg/api/types/coordination-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Endpoints, Service } from "#pkg/api/types/core-v1.ts";
import { ignoreAlreadyExists, type AnyObject, deepEqual, isConflict, ignoreNotFound } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { type Clock, formatMicroTime, type Logger, pause } from "#pkg/util/index.ts";
import { familyOf } from "../allocation/ip-range.ts";

export interface KubernetesServiceOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where other machines reach this API server. */
  readonly advertiseAddress: string;
  readonly port: number;
  /** Cluster address of the Service: the first one of the service range. */
  readonly clusterAddress: string;
}

const INTERVAL_MS = 10_000;
/** After a first failure; it doubles up to the interval. */
const RETRY_MS = 500;
/** An API server that has not shown itself for this long is no endpoint any more. */
const EXPIRY_MS = 30_000;
const SERVICE = { namespace: "default", name: "kubernetes" };
const LEASE_NAMESPACE = "kube-system";
const IDENTITY_LABEL = "apiserver.kubernetes.io/identity";
const IDENTITY = "kube-apiserver";
const ADDRESS_ANNOTATION = "kubits.dev/advertise-address";

/**
 * Keeps the Service default/kubernetes, and as its endpoints all API servers of the cluster that are alive: each one
 * renews a Lease in kube-system that carries its address. One that is advertised on loopback is none: the address means
 * another machine, or another pod, to whoever reads it, and EndpointSlices refuse it.
 */
export class KubernetesServicePublisher {
  readonly #options: KubernetesServiceOptions;
  readonly #leaseName: string;

  constructor(options: KubernetesServiceOptions) {
    this.#options = options;
    const place = `${options.advertiseAddress}:${options.port}`;
    this.#leaseName = `apiserver-${createHash("sha256").update(place).digest("hex").slice(0, 26)}`;
  }

  /** Runs until the signal aborts, then takes this server out of the endpoints. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    if (isLoopback(this.#options.advertiseAddress))
      log.warn({}, "Advertised on loopback: the kubernetes Service does not lead to this API server");
    while (!signal.aborted) {
      let wait = INTERVAL_MS;
      try {
        await this.publish();
        failures = 0;
      } catch (err) {
        wait = Math.min(RETRY_MS * 2 ** failures++, INTERVAL_MS);
        // Namespaces appear moments after the first start; only what lasts is worth a line.
        if (wait === INTERVAL_MS) log.warn({ err }, "Could not publish the kubernetes Service");
      }
      await pause(clock, wait, signal);
    }
    await this.#withdraw().catch((err: unknown) => log.warn({ err }, "Could not withdraw from the kubernetes Service"));
  }

  /** One pass; idempotent. */
  async publish(): Promise<void> {
    await this.#ensureService();
    await this.#renew();
    await this.#reconcile(await this.#liveAddresses());
  }

  async #ensureService(): Promise<void> {
    const { client, clusterAddress, port } = this.#options;
    const ports = [{ name: "https", port: 443, protocol: "TCP", targetPort: port }];
    const present = await ignoreNotFound(client.get(services, SERVICE));
    if (present === undefined) {
      const service: Draft<Service> = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { ...SERVICE, labels: { component: "apiserver", provider: "kubernetes" } },
        spec: { type: "ClusterIP", clusterIP: clusterAddress, sessionAffinity: "None", ports },
      };
      await ignoreAlreadyExists(client.create(services, service));
    } else if (!deepEqual(present.spec?.ports, ports)) {
      await client.update(services, { ...present, spec: { ...present.spec, ports } });
    }
  }

  async #renew(): Promise<void> {
    const { client, clock, advertiseAddress } = this.#options;
    const key = { namespace: LEASE_NAMESPACE, name: this.#leaseName };
    const now = formatMicroTime(clock.now());
    const spec = { holderIdentity: this.#leaseName, leaseDurationSeconds: EXPIRY_MS / 1000, renewTime: now };
    const present = await ignoreNotFound(client.get(leases, key));
    if (present !== undefined) {
      await client.update(leases, { ...present, spec: { ...present.spec, ...spec } });
      return;
    }
    const lease: Draft<Lease> = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        ...key,
        labels: { [IDENTITY_LABEL]: IDENTITY },
        annotations: { [ADDRESS_ANNOTATION]: advertiseAddress },
      },
      spec: { ...spec, acquireTime: now },
    };
    await ignoreAlreadyExists(client.create(leases, lease));
  }

  /** In order, those on loopback left out. Takes away what servers left behind that are no more. */
  async #liveAddresses(): Promise<string[]> {
    const { client, clock, advertiseAddress } = this.#options;
    const list = await client.list(leases, {
      namespace: LEASE_NAMESPACE,
      labelSelector: `${IDENTITY_LABEL}=${IDENTITY}`,
    });
    const addresses = new Set([advertiseAddress].filter((address) => !isLoopback(address)));
    for (const { metadata, spec } of list.items) {
      const address = metadata?.annotations?.[ADDRESS_ANNOTATION];
      if (address === undefined) continue;
      const isAlive = clock.now() - Date.parse(spec?.renewTime ?? "") < EXPIRY_MS;
      if (isAlive && !isLoopback(address)) addresses.add(address);
      if (!isAlive)
        await ignoreNotFound(client.delete(leases, { namespace: LEASE_NAMESPACE, name: metadata?.name ?? "" }));
    }
    return [...addresses].sort();
  }

  /** Makes these the endpoints. Without any it leaves those that there are. */
  async #reconcile(addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return;
    const { client, port, clusterAddress } = this.#options;
    const family = familyOf(clusterAddress);
    const slice: Draft<EndpointSlice> = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...SERVICE, labels: { "kubernetes.io/service-name": SERVICE.name } },
      addressType: family,
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: "https", port, protocol: "TCP" }],
    };
    await ensure(client, endpointSlices, slice, ["endpoints", "ports"]);
    const legacy: Draft<Endpoints> = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { ...SERVICE, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
      subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: "https", port, protocol: "TCP" }] }],
    };
    await ensure(client, endpoints, legacy, ["subsets"]);
  }

  /** Others remain endpoints; the last one stays, as there is nobody who could tell otherwise. */
  async #withdraw(): Promise<void> {
    const { client, advertiseAddress } = this.#options;
    await ignoreNotFound(client.delete(leases, { namespace: LEASE_NAMESPACE, name: this.#leaseName }));
    const others = (await this.#liveAddresses()).filter((address) => address !== advertiseAddress);
    await this.#reconcile(others);
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** Creates an object, or brings the given fields of the present one up to date. */
async function ensure<T extends AnyObject>(
  client: Client,
  ref: ResourceRef<T>,
  wanted: Draft<T>,
  fields: readonly (keyof Draft<T> & keyof T)[],
): Promise<void> {
  const present = await ignoreNotFound(client.get(ref, SERVICE));
  if (present === undefined) {
    await ignoreAlreadyExists(client.create(ref, wanted));
    return;
  }
  if (fields.every((field) => deepEqual(present[field], wanted[field]))) return;
  const changed = { ...present };
  Object.assign(changed, Object.fromEntries(fields.map((field) => [field, wanted[field]])));
  try {
    await client.update(ref, changed);
  } catch (error) {
    // Another API server was faster; the next pass looks again.
    if (!isConflict(error)) throw error;
  }
}
