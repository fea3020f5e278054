/** Constructors of FieldError in upstream's wording (k8s.io/apimachinery util/validation/field). */
import type { FieldError } from "./errors.ts";

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");

/** Go's idea of what can be printed: of all spaces, the ordinary one alone. */
export function isPrintable(character: string): boolean {
  return character === " " || !/[\p{C}\p{Z}]/u.test(character);
}

/** A Go-quoted string, as %q prints it. */
export function goQuote(text: string): string {
  let quoted = '"';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === "\\") quoted += `\\${character}`;
    else if (code === 7) quoted += "\\a";
    else if (code === 8) quoted += "\\b";
    else if (code === 9) quoted += "\\t";
    else if (code === 10) quoted += "\\n";
    else if (code === 11) quoted += "\\v";
    else if (code === 12) quoted += "\\f";
    else if (code === 13) quoted += "\\r";
    else if (code < 32 || code === 127) quoted += `\\x${hex(code, 2)}`;
    else if (code < 127 || isPrintable(character)) quoted += character;
    else quoted += code < 0x1_00_00 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  return `${quoted}"`;
}

function showValue(value: unknown): string {
  if (typeof value === "string") return goQuote(value);
  if (value === undefined || value === null) return "null";
  return typeof value === "object" ? goJson(value) : String(value);
}

/** JSON as Go writes it: what could be mistaken for markup is escaped. */
export const goJson = (value: object): string =>
  JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const withDetail = (text: string, detail: string): string => (detail === "" ? text : `${text}: ${detail}`);

export const fieldRequired = (field: string, detail = ""): FieldError => ({
  type: "FieldValueRequired",
  field,
  message: withDetail("Required value", detail),
});
export const fieldInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  type: "FieldValueInvalid",
  field,
  message: withDetail(`Invalid value: ${showValue(value)}`, detail),
});
/** Of a value too large to be shown. */
export const fieldOmitted = (field: string, detail: string): FieldError => ({
  type: "FieldValueInvalid",
  field,
  message: withDetail("Invalid value", detail),
});
export const fieldTypeInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  type: "FieldValueTypeInvalid",
  field,
  message: withDetail(`Invalid value: ${showValue(value)}`, detail),
});
export const fieldDuplicate = (field: string, value: unknown): FieldError => ({
  type: "FieldValueDuplicate",
  field,
  message: `Duplicate value: ${showValue(value)}`,
});
export const fieldNotFound = (field: string, value: unknown): FieldError => ({
  type: "FieldValueNotFound",
  field,
  message: `Not found: ${showValue(value)}`,
});
export const fieldForbidden = (field: string, detail: string): FieldError => ({
  type: "FieldValueForbidden",
  field,
  message: withDetail("Forbidden", detail),
});
/** `supported` is shown in the order given. */
export const fieldNotSupported = (field: string, value: unknown, supported: readonly string[]): FieldError => ({
  type: "FieldValueNotSupported",
  field,
  message: withDetail(
    `Unsupported value: ${showValue(value)}`,
    supported.length === 0 ? "" : `supported values: ${supported.map(goQuote).join(", ")}`,
  ),
});
export const fieldTooLong = (field: string, maxBytes: number): FieldError => ({
  type: "FieldValueTooLong",
  field,
  message: maxBytes >= 0 ? `Too long: may not be more than ${maxBytes} bytes` : "Too long: value is too long",
});
/** `actual` below zero is left out of the text. */
export const fieldTooMany = (field: string, actual: number, maxItems: number): FieldError => ({
  type: "FieldValueTooMany",
  field,
  message: `Too many: ${actual >= 0 ? `${actual}: ` : ""}${maxItems >= 0 ? `must have at most ${maxItems} items` : "has too many items"}`,
});
/** Upstream's words for a changed immutable field. */
export const IMMUTABLE_DETAIL = "field is immutable";
