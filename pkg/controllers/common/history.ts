/** ControllerRevisions: the history of a pod template, shared by StatefulSets and DaemonSets. */
import {
  type AnyObject,
  deepEqual,
  isAlreadyExists,
  ignoreNotFound,
  isRecord,
  keyOf,
  type OwnerReference,
} from "#pkg/apimachinery/index.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { controllerRevisions } from "#pkg/api/refs.ts";
import type { ControllerRevision } from "#pkg/api/types/apps-v1.ts";
import type { PodTemplateSpec } from "#pkg/api/types/core-v1.ts";
import { hashOf } from "./hash.ts";

/** Label of pods that names the revision they were made from. */
export const REVISION_LABEL = "controller-revision-hash";
/** Label of a stateful set's revisions; those of daemon sets carry the label of the pods. */
export const HASH_LABEL = "controller.kubernetes.io/hash";

/** What a revision stores: a patch that replaces the template. */
function revisionData(template: PodTemplateSpec): Record<string, unknown> {
  return { spec: { template: { ...template, $patch: "replace" } } };
}

/** The template that a revision stores; undefined when somebody has damaged it. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec | undefined {
  const data: unknown = revision.data;
  if (!isRecord(data) || !isRecord(data["spec"]) || !isRecord(data["spec"]["template"])) return undefined;
  const { $patch: _, ...template } = data["spec"]["template"];
  return template as PodTemplateSpec;
}

/** Sorts revisions by number, the lowest first. */
export function byRevision(a: ControllerRevision, b: ControllerRevision): number {
  return (
    a.revision - b.revision ||
    (a.metadata.creationTimestamp < b.metadata.creationTimestamp
      ? -1
      : a.metadata.creationTimestamp > b.metadata.creationTimestamp
        ? 1
        : a.metadata.name < b.metadata.name
          ? -1
          : 1)
  );
}

function isEqualRevision(revision: ControllerRevision, data: Record<string, unknown>): boolean {
  return deepEqual(revision.data, data);
}

/** What becomes of the history for the present template. */
export type RevisionPlan =
  /** The newest revision is the present template. */
  | { readonly type: "keep"; readonly revision: ControllerRevision }
  /** An older one is: a rollback, which makes it the newest. */
  | { readonly type: "bump"; readonly revision: ControllerRevision; readonly to: number }
  | { readonly type: "create"; readonly number: number; readonly data: Record<string, unknown> };

/** Which revision a template has: the newest stays, an older equal one becomes the newest, else a new one is made. */
export function planRevision(history: readonly ControllerRevision[], template: PodTemplateSpec): RevisionPlan {
  const sorted = [...history].sort(byRevision);
  const data = revisionData(template);
  const newest = sorted.at(-1);
  const next = (newest?.revision ?? 0) + 1;
  const equal = sorted.filter((revision) => isEqualRevision(revision, data)).at(-1);
  if (equal === undefined) return { type: "create", number: next, data };
  return equal === newest ? { type: "keep", revision: equal } : { type: "bump", revision: equal, to: next };
}

/** Whose history it is, and how its revisions are marked. */
export interface RevisionOwner {
  readonly object: AnyObject;
  readonly reference: OwnerReference;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number | undefined;
  /** Labels of the revision besides the hash. */
  readonly labels: Record<string, string>;
  /** The label that carries the hash. */
  readonly hashLabel: string;
}

/** Carries a plan out. Returns the revision and the collision count that its name needed. */
export async function writeRevision(
  client: Client,
  plan: RevisionPlan,
  owner: RevisionOwner,
  signal: AbortSignal,
): Promise<{ revision: ControllerRevision; collisionCount: number | undefined }> {
  let { collisionCount } = owner;
  if (plan.type === "keep") return { revision: plan.revision, collisionCount };
  if (plan.type === "bump") {
    const bumped = { ...plan.revision, revision: plan.to };
    return { revision: await client.update(controllerRevisions, bumped, { signal }), collisionCount };
  }
  for (;;) {
    const draft = draftRevision(plan.number, plan.data, owner, collisionCount);
    try {
      return { revision: await client.create(controllerRevisions, draft, { signal }), collisionCount };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const found = await client.get(controllerRevisions, keyOf(draft), { signal });
      if (
        isEqualRevision(found, plan.data) &&
        found.metadata.ownerReferences?.some(({ uid }) => uid === owner.reference.uid)
      )
        return { revision: found, collisionCount };
      collisionCount = (collisionCount ?? 0) + 1;
    }
  }
}

function draftRevision(
  revision: number,
  data: Record<string, unknown>,
  owner: RevisionOwner,
  collisionCount: number | undefined,
): Draft<ControllerRevision> {
  const hash = hashOf(owner.template, collisionCount);
  const labels: Record<string, string> = { ...owner.labels, [owner.hashLabel]: hash };
  const { name = "", namespace } = owner.object.metadata;
  return {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      name: `${name.slice(0, 223)}-${hash}`,
      namespace,
      labels,
      ...(owner.object.metadata.annotations === undefined
        ? {}
        : { annotations: copied(owner.object.metadata.annotations) }),
      ownerReferences: [owner.reference],
    },
    data,
    revision,
  };
}

function copied(annotations: Record<string, string>): Record<string, string> {
  const { "kubectl.kubernetes.io/last-applied-configuration": _, ...rest } = annotations;
  return rest;
}

/** Revisions that nobody uses, beyond the limit; oldest first. */
export function surplusRevisions(
  history: readonly ControllerRevision[],
  live: ReadonlySet<string>,
  limit: number,
): ControllerRevision[] {
  const unused = [...history].sort(byRevision).filter(({ metadata }) => !live.has(metadata.name));
  return unused.slice(0, Math.max(0, unused.length - limit));
}

/** Deletes surplus revisions; those that are gone already are fine. */
export async function deleteRevisions(
  client: Client,
  revisions: readonly ControllerRevision[],
  signal: AbortSignal,
): Promise<void> {
  for (const revision of revisions) {
    await ignoreNotFound(
      client.delete(controllerRevisions, keyOf(revision), {
        preconditions: { uid: revision.metadata.uid },
        signal,
      }),
    );
  }
}
