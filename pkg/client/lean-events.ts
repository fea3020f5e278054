import { KnownMembers, share } from "#pkg/apimachinery/index.ts";
import { parseWithoutManagedFields } from "./managed-fields.ts";

const HEAD = /^\{"type":"[A-Z]+","object":(?=\{)/;
/** More than the longest head has. */
const HEAD_BYTES = 40;
const CLOSING_BRACE = 0x7d;

/**
 * Parses the events of one watch for a cache: without `metadata.managedFields`, and with one frozen spec for all objects
 * whose specs are the same. Most pods come from templates, and most changes are of the status: their specs are neither
 * parsed nor kept once more.
 */
export class LeanEvents {
  readonly #specs = new KnownMembers("spec", (bytes) => share(JSON.parse(bytes.toString()) as object));

  parse(line: Buffer): unknown {
    const head = HEAD.exec(line.toString("latin1", 0, HEAD_BYTES))?.[0];
    if (head === undefined || line.at(-1) !== CLOSING_BRACE) return parseWithoutManagedFields(line.toString());
    const object = line.subarray(head.length, -1);
    const known = this.#specs.recognise(object);
    if (known === undefined) {
      const event = parseWithoutManagedFields(line.toString());
      this.#specs.met(object);
      return event;
    }
    const event = parseWithoutManagedFields(`${head}${known.rest}}`) as { object: { spec: object } };
    event.object.spec = known.value;
    return event;
  }
}
