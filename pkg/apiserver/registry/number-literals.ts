import { checkFields } from "#pkg/api/index.ts";
import { assertFinite, DecodeError, type FieldSchema } from "#pkg/apimachinery/index.ts";

const INTEGER_FIELD = /^json: cannot unmarshal string (into Go .* of type u?int(?:32|64)?)$/;
const NUMBER_FIELD = /^json: cannot unmarshal string (into Go .* of type (?:u?int|float)(?:32|64)?)$/;

/**
 * What Go says of the first number that is not written like an integer where the schema wants one: 1.0 and 1e3 are
 * none to it. Parsed numbers do not show that any more, so each literal's field is looked up by a value that it cannot
 * hold.
 */
export function wrongNumber(schema: FieldSchema, literals: ReadonlyMap<string, string>): string | undefined {
  if (literals.size === 0) return undefined;
  for (const [path, literal] of literals) {
    const [refusal = ""] = checkFields(schema, probe(path)).errors;
    const outOfRange = !Number.isFinite(Number(literal));
    const field = (outOfRange ? NUMBER_FIELD : INTEGER_FIELD).exec(refusal)?.[1];
    if (field !== undefined) return `json: cannot unmarshal number ${literal} ${field}`;
  }
  try {
    assertFinite(literals);
  } catch (error) {
    if (error instanceof DecodeError) return error.message;
    throw error;
  }
  return undefined;
}

/** An object with nothing but a text at the path. */
function probe(path: string): unknown {
  let value: unknown = "";
  for (const step of path.split(/[.[\]]+/).toReversed()) {
    if (step === "") continue;
    value = /^\d+$/.test(step) ? [value] : { [step]: value };
  }
  return value;
}
