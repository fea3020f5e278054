import { checkFields } from "#pkg/api/index.ts";
import { assertFinite, DecodeError, type FieldSchema, fractionsOf, markFractions } from "#pkg/apimachinery/index.ts";

const INTEGER_FIELD = /^json: cannot unmarshal string (into Go .* of type u?int(?:32|64)?)$/;
const NUMBER_FIELD = /^json: cannot unmarshal string (into Go .* of type (?:u?int|float)(?:32|64)?)$/;

/**
 * What Go says of the first number that is not written like an integer where the schema wants one: 1.0 and 1e3 are
 * none to it. Parsed numbers do not show that any more, so a value that such a field cannot hold takes their place. Only
 * when some field minds that, or members that are repeated hide others, is each number looked up alone, for the first one
 * in the order of the text: that takes many times as long.
 */
export function wrongNumber(schema: FieldSchema, text: string, value: unknown, repeats: boolean): string | undefined {
  if (repeats || checkFields(schema, JSON.parse(markFractions(text, '""'))).errors.length > 0) {
    for (const [path, literal] of fractionsOf(text)) {
      const [refusal = ""] = checkFields(schema, probe(path)).errors;
      const outOfRange = !Number.isFinite(Number(literal));
      const field = (outOfRange ? NUMBER_FIELD : INTEGER_FIELD).exec(refusal)?.[1];
      if (field !== undefined) return `json: cannot unmarshal number ${literal} ${field}`;
    }
  }
  try {
    assertFinite(value);
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
