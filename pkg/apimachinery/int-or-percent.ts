/** IntOrString fields that hold a number or a percentage. Source: apimachinery pkg/util/intstr. */

class IntOrPercentError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "IntOrPercentError";
  }
}

const PERCENT = /^[+-]?[0-9]+%$/;

/** `{value, isPercent}` of a number or "NN%". @throws IntOrPercentError for any other string. */
function parseIntOrPercent(value: number | string): { readonly value: number; readonly isPercent: boolean } {
  if (typeof value === "number") return { value, isPercent: false };
  if (!value.endsWith("%"))
    throw new IntOrPercentError("invalid value for IntOrString: invalid type: string is not a percentage");
  if (!PERCENT.test(value)) {
    const digits = value.slice(0, -1);
    throw new IntOrPercentError(
      `invalid value for IntOrString: invalid value ${JSON.stringify(value)}: strconv.Atoi: parsing ${JSON.stringify(digits)}: invalid syntax`,
    );
  }
  return { value: Number(value.slice(0, -1)), isPercent: true };
}

/**
 * The number itself, or that percentage of `total`, rounded up or down to a whole number.
 * @throws IntOrPercentError for a string that is no percentage.
 */
export function intOrPercent(value: number | string, total: number, roundUp: boolean): number {
  const { value: number, isPercent } = parseIntOrPercent(value);
  if (!isPercent) return number;
  const exact = (number * total) / 100;
  return roundUp ? Math.ceil(exact) : Math.floor(exact);
}
