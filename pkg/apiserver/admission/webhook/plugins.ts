import { isDeepStrictEqual } from "node:util";
import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ValidatingWebhookConfiguration,
} from "#pkg/api/types/admissionregistration-v1.ts";
import { applyJsonPatch, internalError, type JsonPatchOperation, type KubeObject } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { Equivalents } from "../equivalents.ts";
import type { ReinvokingPlugin } from "../chain.ts";
import { normalize } from "../normalize.ts";
import { decodePatched } from "../patched.ts";
import { type Hook, HookCaller, HookList, type WebhookDeps } from "./hooks.ts";
import { denial, type Versioned } from "./review.ts";

/** What one request's mutating pass has to remember for a second one. */
interface Progress {
  readonly pass: number;
  /** Hooks with reinvocationPolicy IfNeeded called so far. */
  readonly invoked: Set<Hook>;
  /** Of those, the ones to call again because the object changed since. */
  readonly again: Set<Hook>;
  /** The object as the last webhook left it. */
  output: KubeObject | undefined;
  changed: boolean;
}

/** Calls mutating webhooks in order and applies their patches. */
export class MutatingAdmissionWebhook implements AdmissionPlugin, ReinvokingPlugin {
  readonly name = "MutatingAdmissionWebhook";
  readonly #list: HookList;
  readonly #caller: HookCaller;
  readonly #equivalents: Equivalents;
  readonly #progress = new WeakMap<AdmissionAttributes, Progress>();

  constructor(source: ObjectSource<MutatingWebhookConfiguration>, deps: WebhookDeps) {
    this.#list = new HookList(source, deps.compileConditions);
    this.#caller = new HookCaller(deps);
    this.#equivalents = deps.equivalents;
  }

  handles(): boolean {
    return this.#list.hooks.length > 0;
  }

  admit(attributes: AdmissionAttributes): void | Promise<void> {
    const before = this.#progress.get(attributes);
    if (before === undefined && !this.#list.hooks.some((hook) => this.#caller.match(hook, attributes) !== undefined))
      return undefined;
    return this.#dispatch(attributes, before);
  }

  /** A webhook changed the object: the plugins before it have to see the result. */
  needsAnotherPass(attributes: AdmissionAttributes): boolean {
    return this.#progress.get(attributes)?.changed === true;
  }

  async #dispatch(attributes: AdmissionAttributes, before: Progress | undefined): Promise<void> {
    const progress: Progress = {
      pass: before === undefined ? 0 : before.pass + 1,
      invoked: before?.invoked ?? new Set(),
      again: before?.again ?? new Set(),
      output: before?.output,
      changed: false,
    };
    this.#progress.set(attributes, progress);
    if (before !== undefined && !isDeepStrictEqual(attributes.object, before.output)) {
      for (const hook of progress.invoked) progress.again.add(hook);
    }
    for (const hook of this.#list.hooks) {
      if (before !== undefined && !progress.again.delete(hook)) continue;
      const matched = this.#caller.match(hook, attributes);
      if (matched === undefined) continue;
      const asked = await this.#caller.ask(hook, matched, attributes, true);
      if (asked === undefined) continue;
      const { verdict, versioned } = asked;
      if (!verdict.allowed) throw denial(hook.webhook.name, verdict.result);
      if (verdict.patch !== undefined && (await this.#apply(hook, attributes, versioned, verdict.patch))) {
        progress.changed = true;
        for (const earlier of progress.invoked) progress.again.add(earlier);
      }
      if ((hook.webhook as MutatingWebhook).reinvocationPolicy === "IfNeeded") progress.invoked.add(hook);
    }
    progress.output = attributes.object === undefined ? undefined : structuredClone(attributes.object);
  }

  /** Applies a patch to the object in the webhook's version and brings it back to the request's. True when it changed. */
  async #apply(
    hook: Hook,
    attributes: AdmissionAttributes,
    { matched, object }: Versioned,
    patch: unknown[],
  ): Promise<boolean> {
    if (patch.length === 0) return false;
    if (object === undefined || attributes.operation === "DELETE") {
      const who = `admission webhook ${JSON.stringify(hook.webhook.name)}`;
      throw internalError(`${who} attempted to modify the object, which is not supported for this operation`);
    }
    let result: unknown;
    try {
      result = applyJsonPatch(object, patch as JsonPatchOperation[]);
    } catch (error) {
      throw internalError(errorMessage(error));
    }
    const { resource } = attributes;
    const patched = decodePatched(object, result, matched.definition, this.#equivalents);
    const own =
      matched.definition === resource
        ? patched
        : await this.#equivalents.convert(patched, matched.definition, resource);
    normalize(attributes, own);
    if (isDeepStrictEqual(own, attributes.object)) return false;
    attributes.object = own;
    attributes.annotate(
      `mutation.webhook.admission.k8s.io/round_${this.#progress.get(attributes)?.pass ?? 0}_index_${hook.index}`,
      JSON.stringify({ configuration: hook.configuration, webhook: hook.webhook.name, mutated: true }),
    );
    return true;
  }
}

/** Calls validating webhooks side by side. */
export class ValidatingAdmissionWebhook implements AdmissionPlugin {
  readonly name = "ValidatingAdmissionWebhook";
  readonly #list: HookList;
  readonly #caller: HookCaller;

  constructor(source: ObjectSource<ValidatingWebhookConfiguration>, deps: WebhookDeps) {
    this.#list = new HookList(source, deps.compileConditions);
    this.#caller = new HookCaller(deps);
  }

  handles(): boolean {
    return this.#list.hooks.length > 0;
  }

  validate(attributes: AdmissionAttributes): void | Promise<void> {
    const relevant = this.#list.hooks.flatMap((hook) => {
      const matched = this.#caller.match(hook, attributes);
      return matched === undefined ? [] : [{ hook, matched }];
    });
    if (relevant.length === 0) return undefined;
    const calls = relevant.map(async ({ hook, matched }) => {
      const asked = await this.#caller.ask(hook, matched, attributes, false);
      if (asked !== undefined && !asked.verdict.allowed) throw denial(hook.webhook.name, asked.verdict.result);
    });
    return Promise.all(calls).then(() => undefined);
  }
}
