import { isShared, unshared } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../contract.ts";

/** All admission of the server. Each method returns a promise only when a plugin needed one. */
export interface AdmissionChain {
  /** Mutating passes in order. Refuses by throwing StatusError. */
  admit(attributes: AdmissionAttributes): void | Promise<void>;
  /** Validating passes in order, on the object as it will be stored. */
  validate(attributes: AdmissionAttributes): void | Promise<void>;
  /** After the write: `stored` says whether it happened. Exactly once per attributes that passed `validate`. */
  settle(attributes: AdmissionAttributes, stored: boolean): void | Promise<void>;
}

/** A mutating plugin whose changes the plugins before it have to see: the mutating pass is then run once more. */
export interface ReinvokingPlugin {
  needsAnotherPass(attributes: AdmissionAttributes): boolean;
}

type Pass = "admit" | "validate";

export class PluginChain implements AdmissionChain {
  /** The plugins that take part in each pass. */
  readonly #plugins: Readonly<Record<Pass, readonly AdmissionPlugin[]>>;
  readonly #settling: readonly AdmissionPlugin[];
  readonly #reinvoking: readonly ReinvokingPlugin[];
  constructor(plugins: readonly AdmissionPlugin[]) {
    const having = (method: Pass | "settle") => plugins.filter((plugin) => plugin[method] !== undefined);
    this.#plugins = { admit: having("admit"), validate: having("validate") };
    this.#settling = having("settle");
    this.#reinvoking = plugins.filter(isReinvoking);
  }
  admit(attributes: AdmissionAttributes): void | Promise<void> {
    const first = this.#run("admit", attributes, 0);
    // Only plugins that had to wait can have changed something behind the others' backs.
    return first === undefined ? undefined : first.then(() => this.#secondPass(attributes));
  }
  validate(attributes: AdmissionAttributes): void | Promise<void> {
    return this.#run("validate", attributes, 0);
  }
  settle(attributes: AdmissionAttributes, stored: boolean): void | Promise<void> {
    let pending: Promise<void>[] | undefined;
    for (const plugin of this.#settling) {
      if (!plugin.handles(attributes)) continue;
      const settled = plugin.settle!(attributes, stored);
      if (settled instanceof Promise) (pending ??= []).push(settled);
    }
    return pending === undefined ? undefined : Promise.all(pending).then(() => undefined);
  }

  #secondPass(attributes: AdmissionAttributes): void | Promise<void> {
    if (!this.#reinvoking.some((plugin) => plugin.needsAnotherPass(attributes))) return undefined;
    return this.#run("admit", attributes, 0);
  }

  /** Stays synchronous until a plugin returns a promise; most requests touch none that does. */
  #run(pass: Pass, attributes: AdmissionAttributes, start: number): void | Promise<void> {
    const plugins = this.#plugins[pass];
    for (let i = start; i < plugins.length; i++) {
      const plugin = plugins[i]!;
      if (!plugin.handles(attributes)) continue;
      if (pass === "admit" && plugin.sparesShared !== true) unshareSpec(attributes);
      const result = plugin[pass]!(attributes);
      if (result instanceof Promise) return result.then(() => this.#run(pass, attributes, i + 1));
    }
    return undefined;
  }
}

function unshareSpec({ object }: AdmissionAttributes): void {
  if (object !== undefined && isShared(object["spec"])) object["spec"] = unshared(object["spec"]);
}

function isReinvoking(plugin: AdmissionPlugin): plugin is AdmissionPlugin & ReinvokingPlugin {
  return "needsAnotherPass" in plugin;
}
