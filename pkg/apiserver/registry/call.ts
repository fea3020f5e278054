import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { AdmissionAttributes, ApiRequest, ApiResponse } from "../contract.ts";
import type { Negotiator } from "../http/negotiate.ts";
import type { RequestTarget } from "../http/target.ts";
import type { InstalledResource } from "./installed.ts";
import type { ResourceRegistry } from "./resource-registry.ts";

/** Admission as one step; any part may answer at once. */
export interface AdmissionChain {
  admit(attributes: AdmissionAttributes): void | Promise<void>;
  validate(attributes: AdmissionAttributes): void | Promise<void>;
  settle(attributes: AdmissionAttributes, stored: boolean): void | Promise<void>;
}

/** What was taken for an object that is not stored yet. One of the two is called, once. */
export interface Reservation {
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/**
 * Kinds whose writes take something out of a shared pool (ClusterIPs, node ports). `reserve` may fill fields in; it
 * throws StatusError when the pool refuses. What it returns is called once the outcome is known.
 */
export interface Allocator {
  reserve(object: KubeObject, old: Readonly<KubeObject> | undefined, dryRun: boolean): Promise<Reservation>;
  /** After the object has gone. */
  released(object: Readonly<KubeObject>): Promise<void>;
}

/** What all requests share. */
export interface RestServices {
  readonly registry: ResourceRegistry;
  readonly admission: AdmissionChain;
  /** By "group/plural". */
  readonly allocators: ReadonlyMap<string, Allocator>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly negotiator: Negotiator;
}

/** One request for one resource on its way through the registry. */
export interface Call {
  readonly services: RestServices;
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly target: RequestTarget;
  readonly user: UserInfo;
  readonly installed: InstalledResource;
  readonly warnings: string[];
  readonly pretty: boolean;
  readonly auditAnnotations: Map<string, string>;
  /** A watch gives its seats back once it has begun. */
  readonly turn: { release(): void } | undefined;
  /** Epoch milliseconds. */
  readonly now: number;
}

export function admissionAttributes(
  call: Call,
  fields: Pick<AdmissionAttributes, "operation" | "name" | "object" | "oldObject" | "dryRun" | "options"> & {
    readonly subresource?: string;
  },
): AdmissionAttributes {
  return {
    resource: call.installed.definition,
    subresource: call.target.subresource,
    namespace: call.target.namespace,
    user: call.user,
    warn: (text) => void call.warnings.push(text),
    annotate: (key, value) => void call.auditAnnotations.set(key, value),
    ...fields,
  };
}

export function allocatorOf({ installed, services }: Call): Allocator | undefined {
  const { group, plural } = installed.definition;
  return services.allocators.get(`${group}/${plural}`);
}
