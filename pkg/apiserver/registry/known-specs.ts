import { doubtfulMembers, type ResourceDefinition } from "#pkg/api/index.ts";
import { decodeJson, KnownMembers, type KubeObject, share } from "#pkg/apimachinery/index.ts";

/**
 * Pods are made from templates: a client that makes a thousand of them sends the same spec a thousand times, byte for
 * byte, and the spec is most of the body. One that has been met is not decoded, checked for unknown and repeated
 * fields and defaulted again: it is recognised by its bytes, and all objects that came with it share one (see `share`).
 */
export class KnownSpecs {
  readonly #definition: ResourceDefinition;
  readonly #specs = new KnownMembers("spec", (bytes) => this.#prepare(bytes));

  constructor(definition: ResourceDefinition) {
    this.#definition = definition;
  }

  /** The value of a JSON body whose spec is known, with that; undefined of any other, be it no JSON at all. */
  decode(body: Buffer): Record<string, unknown> | undefined {
    const known = this.#specs.recognise(body);
    if (known === undefined) return undefined;
    try {
      const { value, duplicates } = decodeJson(known.rest);
      if (duplicates.length > 0) return undefined;
      const object = value as Record<string, unknown>;
      object["spec"] = known.value;
      return object;
    } catch {
      return undefined; // Whoever decodes the whole of it has the words for what is wrong.
    }
  }

  /** Told of every body that has turned out to be JSON. */
  met(body: Buffer): void {
    this.#specs.met(body);
  }

  /** Defaulted, checked and shared; null when there is something in it to report or to correct each time. */
  #prepare(bytes: Buffer): object | null {
    const { value, duplicates } = decodeJson(bytes);
    const spec = value as object;
    const { kind, schema } = this.#definition;
    const object: KubeObject = { apiVersion: "", kind, metadata: {}, spec };
    if (duplicates.length > 0 || doubtfulMembers(schema, { spec }) !== undefined) return null;
    this.#definition.applyDefaults(object);
    if (this.#definition.usesDisabled?.(object) === true) return null;
    return share(spec);
  }
}
