import type { MatchResources, ParamRef } from "#pkg/api/types/admissionregistration-v1.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ObjectSource } from "../../source/index.ts";
import { ResourceMatcher } from "./matching.ts";

/** A binding, prepared. */
export interface PreparedBinding<B> {
  readonly object: B;
  readonly matcher: ResourceMatcher | undefined;
  readonly paramRef: ParamRef | undefined;
}
/** A compiled policy with its bindings. */
export interface BoundPolicy<C, B> {
  readonly name: string;
  readonly compiled: C;
  readonly bindings: readonly PreparedBinding<B>[];
}

type BindingObject = AnyObject & {
  spec: { policyName?: string; matchResources?: MatchResources; paramRef?: ParamRef };
};

/** Policies compiled when they change, joined with their bindings, in order of their names. */
export class PolicyRegistry<P extends AnyObject, B extends BindingObject, C> {
  readonly #compiled = new Map<string, C>();
  readonly #bindings = new Map<string, Map<string, PreparedBinding<B>>>();
  #sorted: readonly BoundPolicy<C, B>[] | undefined;

  constructor(policies: ObjectSource<P>, bindings: ObjectSource<B>, compile: (policy: P) => C) {
    policies.onChange(({ type, object }) => {
      const name = object.metadata.name ?? "";
      if (type === "DELETED") this.#compiled.delete(name);
      else this.#compiled.set(name, compile(object));
      this.#sorted = undefined;
    });
    bindings.onChange(({ type, object, previous }) => {
      const name = object.metadata.name ?? "";
      if (previous !== undefined) this.#bindings.get(previous.spec.policyName ?? "")?.delete(name);
      const policy = object.spec.policyName ?? "";
      if (type === "DELETED") this.#bindings.get(policy)?.delete(name);
      else {
        const known = this.#bindings.get(policy) ?? new Map<string, PreparedBinding<B>>();
        const { matchResources, paramRef } = object.spec;
        known.set(name, {
          object,
          matcher: matchResources === undefined ? undefined : new ResourceMatcher(matchResources),
          paramRef,
        });
        this.#bindings.set(policy, known);
      }
      this.#sorted = undefined;
    });
  }

  /** Policies that have at least one binding; the others do nothing. */
  get policies(): readonly BoundPolicy<C, B>[] {
    this.#sorted ??= [...this.#compiled]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, compiled]) => ({
        name,
        compiled,
        bindings: [...(this.#bindings.get(name) ?? [])]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([, binding]) => binding),
      }))
      .filter(({ bindings }) => bindings.length > 0);
    return this.#sorted;
  }
}
