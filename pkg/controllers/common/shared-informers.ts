import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { controllerOf } from "#pkg/apimachinery/index.ts";
import type { InformerFactory, Lister, SharedInformer } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";

/** Index of objects by the uid of their controller; orphans are under `orphanKey(namespace)`. */
export const OWNER_INDEX = "controllers/owner";
export const POD_NODE_INDEX = "controllers/node";

function orphanKey(namespace: string): string {
  return `orphan/${namespace}`;
}

function ownerKeys(object: AnyObject): string[] {
  const owner = controllerOf(object);
  return [owner === undefined ? orphanKey(object.metadata.namespace ?? "") : owner.uid];
}

/**
 * The informers that controllers share. Each is made when the first controller asks for it, so that a controller that is
 * switched off costs no watch; indexes are added once, however many controllers use them.
 */
export class SharedInformers {
  readonly #factory: InformerFactory;
  readonly #made = new Map<string, SharedInformer<AnyObject>>();
  readonly #indexed = new Set<string>();

  constructor(factory: InformerFactory) {
    this.#factory = factory;
  }

  of<T extends AnyObject>(resource: ResourceRef<T>): SharedInformer<T> {
    const name = `${resource.group}/${resource.version}/${resource.plural}`;
    let informer = this.#made.get(name);
    if (informer === undefined) {
      informer = this.#factory.informer(resource) as unknown as SharedInformer<AnyObject>;
      this.#made.set(name, informer);
    }
    return informer as unknown as SharedInformer<T>;
  }

  /** The informer of a resource, if some controller has asked for it. */
  known(resource: ResourceRef<AnyObject>): SharedInformer<AnyObject> | undefined {
    return this.#made.get(`${resource.group}/${resource.version}/${resource.plural}`);
  }

  /** An informer with OWNER_INDEX. */
  owned<T extends AnyObject>(resource: ResourceRef<T>): SharedInformer<T> {
    const informer = this.of(resource);
    this.#addIndex(informer, `${resource.group}/${resource.plural}`, OWNER_INDEX, ownerKeys);
    return informer;
  }

  /** Pods with OWNER_INDEX and POD_NODE_INDEX. */
  pods(): SharedInformer<Pod> {
    const informer = this.owned(pods);
    this.#addIndex(informer, "/pods", POD_NODE_INDEX, (pod) =>
      pod.spec.nodeName === undefined || pod.spec.nodeName === "" ? [] : [pod.spec.nodeName],
    );
    return informer;
  }

  /** Adds an index once; `scope` names the resource. */
  index<T extends AnyObject>(resource: ResourceRef<T>, name: string, keys: (object: T) => string[]): SharedInformer<T> {
    const informer = this.of(resource);
    this.#addIndex(informer, `${resource.group}/${resource.plural}`, name, keys);
    return informer;
  }

  #addIndex<T>(informer: SharedInformer<T>, scope: string, name: string, keys: (object: T) => string[]): void {
    const id = `${scope} ${name}`;
    if (this.#indexed.has(id)) return;
    this.#indexed.add(id);
    informer.addIndex(name, keys);
  }
}

/** Objects whose controller is `uid`, and orphans of the namespace: all that an owner may keep or adopt. */
export function ownedOrOrphaned<T>(lister: Lister<T>, uid: string, namespace: string): T[] {
  return [...lister.byIndex(OWNER_INDEX, uid), ...lister.byIndex(OWNER_INDEX, orphanKey(namespace))];
}
