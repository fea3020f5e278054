import { type AnyObject, isNotFound, keyOf, keyString } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Draft, Expectations } from "#pkg/client/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { ControllerEnv } from "./env.ts";
import { isNamespaceTerminating } from "./errors.ts";
import { podId } from "./owned-pods.ts";
import { inParallel, slowStartBatch } from "./slow-start.ts";

/**
 * Creates and deletes the pods of owners of one kind. Each call is expected before it is made, so that its owner is not
 * looked at again before the informer has seen it, and tells the owner's events how it went.
 */
export class PodControl {
  readonly #env: ControllerEnv;
  readonly #expectations: Expectations;

  constructor(env: ControllerEnv, expectations: Expectations) {
    this.#env = env;
    this.#expectations = expectations;
  }

  /** Makes `count` pods, slowly at first; `error` is the first failure, unless the namespace is just going away. */
  async create(
    owner: AnyObject,
    count: number,
    draft: (index: number) => Draft<Pod>,
    signal: AbortSignal,
  ): Promise<{ created: number; error: unknown }> {
    const { client, recorder } = this.#env;
    if (count === 0) return { created: 0, error: undefined };
    const id = keyString(keyOf(owner));
    this.#expectations.expectCreations(id, count);
    let attempted = 0;
    let terminating = false;
    const { succeeded, error } = await slowStartBatch(count, async (index) => {
      attempted++;
      try {
        const pod = await client.create(pods, draft(index), { signal });
        recorder.event(owner, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
      } catch (error) {
        this.#expectations.creationObserved(id);
        terminating = isNamespaceTerminating(error);
        if (!terminating) recorder.event(owner, "Warning", "FailedCreate", `Error creating: ${errorMessage(error)}`);
        throw error; // which ends the batches
      }
    });
    for (; attempted < count; attempted++) this.#expectations.creationObserved(id);
    return { created: succeeded, error: terminating ? undefined : error };
  }

  /** Deletes these pods, all at once; one that is gone already counts as deleted. `error` is the first failure. */
  async delete(
    owner: AnyObject,
    doomed: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ deleted: number; error: unknown }> {
    const { client, recorder } = this.#env;
    if (doomed.length === 0) return { deleted: 0, error: undefined };
    const id = keyString(keyOf(owner));
    this.#expectations.expectDeletions(id, doomed.map(podId));
    let deleted = 0;
    const error = await inParallel(doomed, async (pod) => {
      try {
        await client.delete(pods, keyOf(pod), { preconditions: { uid: pod.metadata.uid }, signal });
        recorder.event(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
      } catch (error) {
        this.#expectations.deletionObserved(id, podId(pod));
        if (!isNotFound(error)) {
          recorder.event(owner, "Warning", "FailedDelete", `Error deleting: ${errorMessage(error)}`);
          throw error;
        }
      }
      deleted++;
    });
    return { deleted, error };
  }
}
