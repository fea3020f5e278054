/**
 * Who owns whom, by uid. Pure data: events come in, keys of objects that need a look come out. A node is "virtual" while
 * it is known only from somebody's owner reference.
 */
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "#pkg/api/index.ts";
import type { AnyObject, OwnerReference } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";

/** An object as the collector knows it, or as others' owner references describe it. */
export interface GraphNode {
  readonly uid: string;
  /** Undefined while the owner's kind is not served (or not yet discovered). */
  ref: ResourceRef<AnyObject> | undefined;
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
  resourceVersion: string;
  owners: readonly OwnerReference[];
  finalizers: readonly string[];
  beingDeleted: boolean;
  virtual: boolean;
  readonly dependents: Set<GraphNode>;
}

/** Deleted in the foreground: it waits for those of its dependents that block. */
export function isDeletingDependents(node: GraphNode): boolean {
  return node.beingDeleted && node.finalizers.includes(FOREGROUND_FINALIZER);
}

/** Is it being deleted with its dependents to be left? */
export function isOrphaning(node: GraphNode): boolean {
  return node.beingDeleted && node.finalizers.includes(ORPHAN_FINALIZER);
}

/** Dependents that hold back the end of a foreground deletion. */
export function blockingDependents(node: GraphNode): GraphNode[] {
  return [...node.dependents].filter((dependent) =>
    dependent.owners.some(({ uid, blockOwnerDeletion }) => uid === node.uid && blockOwnerDeletion === true),
  );
}

/** Who listens to changes of the graph. */
export interface GraphEvents {
  /** Something about this object may have to be done. */
  look(uid: string): void;
}

/** Who owns whom, of all objects that there are. */
export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #events: GraphEvents;

  constructor(events: GraphEvents) {
    this.#events = events;
  }
  get size(): number {
    return this.#nodes.size;
  }
  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }
  nodes(): IterableIterator<GraphNode> {
    return this.#nodes.values();
  }

  /** The object is there, as `object` says. Several resources may show the same object; the first one stays. */
  observe(ref: ResourceRef<AnyObject>, object: AnyObject): void {
    const { metadata } = object;
    const uid = metadata.uid ?? "";
    if (uid === "") return;
    const owners = metadata.ownerReferences ?? [];
    let node = this.#nodes.get(uid);
    // Most objects neither own nor are owned; they need no node until somebody refers to them.
    if (node === undefined) {
      node = emptyNode(uid);
      this.#nodes.set(uid, node);
    }
    const before = node.virtual ? undefined : { ...node, blocked: blockedOwners(node) };
    const identityChanged = node.virtual && !sameIdentity(node, ref, metadata.namespace ?? "", metadata.name ?? "");
    node.ref = ref;
    node.apiVersion = ref.group === "" ? ref.version : `${ref.group}/${ref.version}`;
    node.kind = ref.kind;
    node.namespace = metadata.namespace ?? "";
    node.name = metadata.name ?? "";
    node.resourceVersion = metadata.resourceVersion ?? "";
    node.finalizers = metadata.finalizers ?? [];
    node.beingDeleted = metadata.deletionTimestamp !== undefined;
    node.virtual = false;
    this.#setOwners(node, owners);
    // Whoever described this owner wrongly has to be judged again, against what it really is.
    if (identityChanged) for (const dependent of node.dependents) this.#events.look(dependent.uid);
    this.#react(node, before);
  }

  /** The object is gone. */
  forget(uid: string): void {
    const node = this.#nodes.get(uid);
    if (node === undefined) return;
    this.#setOwners(node, []);
    this.#nodes.delete(uid);
    for (const dependent of node.dependents) this.#events.look(dependent.uid);
    if (node.dependents.size > 0) {
      // Its dependents still name it, until they are dealt with.
      const ghost = emptyNode(uid);
      Object.assign(ghost, {
        ref: node.ref,
        apiVersion: node.apiVersion,
        kind: node.kind,
        namespace: node.namespace,
        name: node.name,
      });
      for (const dependent of node.dependents) ghost.dependents.add(dependent);
      this.#nodes.set(uid, ghost);
    }
  }

  #setOwners(node: GraphNode, owners: readonly OwnerReference[]): void {
    const before = node.owners;
    node.owners = owners;
    const kept = new Set(owners.map(({ uid }) => uid));
    for (const { uid } of before) {
      if (kept.has(uid)) continue;
      const owner = this.#nodes.get(uid);
      if (owner === undefined) continue;
      owner.dependents.delete(node);
      if (isDeletingDependents(owner)) this.#events.look(uid);
      if (owner.virtual && owner.dependents.size === 0) this.#nodes.delete(uid);
    }
    for (const reference of owners) this.#link(node, reference);
  }

  #link(node: GraphNode, reference: OwnerReference): void {
    let owner = this.#nodes.get(reference.uid);
    if (owner === undefined) {
      owner = emptyNode(reference.uid);
      owner.apiVersion = reference.apiVersion;
      owner.kind = reference.kind;
      owner.namespace = node.namespace;
      owner.name = reference.name;
      this.#nodes.set(reference.uid, owner);
    }
    owner.dependents.add(node);
  }

  #react(node: GraphNode, before: (GraphNode & { blocked: Set<string> }) | undefined): void {
    const started = (state: (node: GraphNode) => boolean) => state(node) && (before === undefined || !state(before));
    if (started(isDeletingDependents)) for (const dependent of node.dependents) this.#events.look(dependent.uid);
    if (isDeletingDependents(node) || isOrphaning(node)) this.#events.look(node.uid);
    else if (node.owners.length > 0 && (before === undefined || before.owners !== node.owners)) {
      // New or changed references: look whether the owners exist. Unchanged content is not looked at again.
      if (before === undefined || !sameReferences(before.owners, node.owners)) this.#events.look(node.uid);
    }
    // An owner that waited for this one may go on when it no longer blocks.
    if (before === undefined) return;
    const blocks = blockedOwners(node);
    for (const uid of before.blocked) if (!blocks.has(uid)) this.#events.look(uid);
  }
}

function emptyNode(uid: string): GraphNode {
  return {
    uid,
    ref: undefined,
    apiVersion: "",
    kind: "",
    namespace: "",
    name: "",
    resourceVersion: "",
    owners: [],
    finalizers: [],
    beingDeleted: false,
    virtual: true,
    dependents: new Set(),
  };
}

function sameIdentity(node: GraphNode, ref: ResourceRef<AnyObject>, namespace: string, name: string): boolean {
  const apiVersion = ref.group === "" ? ref.version : `${ref.group}/${ref.version}`;
  return (
    node.kind === ref.kind &&
    node.apiVersion === apiVersion &&
    node.name === name &&
    (!ref.namespaced || node.namespace === namespace)
  );
}

function blockedOwners({ owners }: GraphNode): Set<string> {
  return new Set(owners.filter(({ blockOwnerDeletion }) => blockOwnerDeletion === true).map(({ uid }) => uid));
}

function sameReferences(a: readonly OwnerReference[], b: readonly OwnerReference[]): boolean {
  return (
    a.length === b.length &&
    a.every((reference, index) => {
      const other = b[index]!;
      return (
        reference.uid === other.uid &&
        reference.name === other.name &&
        reference.kind === other.kind &&
        reference.apiVersion === other.apiVersion &&
        reference.blockOwnerDeletion === other.blockOwnerDeletion
      );
    })
  );
}
