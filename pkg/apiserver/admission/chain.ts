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

type Pass = "admit" | "validate";

export class PluginChain implements AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];
  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }
  admit(attributes: AdmissionAttributes): void | Promise<void> {
    return this.#run("admit", attributes, 0);
  }
  validate(attributes: AdmissionAttributes): void | Promise<void> {
    return this.#run("validate", attributes, 0);
  }
  settle(attributes: AdmissionAttributes, stored: boolean): void | Promise<void> {
    const pending: Promise<void>[] = [];
    for (const plugin of this.#plugins) {
      if (plugin.settle === undefined || !plugin.handles(attributes)) continue;
      const settled = plugin.settle(attributes, stored);
      if (settled instanceof Promise) pending.push(settled);
    }
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => undefined);
  }

  /** Stays synchronous until a plugin returns a promise; most requests touch none that does. */
  #run(pass: Pass, attributes: AdmissionAttributes, start: number): void | Promise<void> {
    for (let i = start; i < this.#plugins.length; i++) {
      const plugin = this.#plugins[i]!;
      if (plugin[pass] === undefined || !plugin.handles(attributes)) continue;
      const result = plugin[pass](attributes);
      if (result instanceof Promise) return result.then(() => this.#run(pass, attributes, i + 1));
    }
    return undefined;
  }
}
