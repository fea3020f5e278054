import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
} from "../../validation.ts";
import { searching } from "../costs.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { parseTimestamp } from "../time.ts";
import { ArrayList, Opaque, Optional } from "../values.ts";

type Validate = (text: string) => readonly string[];
class Format extends Opaque {
  readonly typeName = "kubernetes.NamedFormat";
  readonly name: string;
  readonly validate: Validate;
  constructor(name: string, validate: Validate) {
    super();
    this.name = name;
    this.validate = validate;
  }
  override get size(): number {
    return PATTERNS[this.name] ?? LONGEST_PATTERN;
  }
  equals(other: Opaque): boolean {
    return other instanceof Format && other.name === this.name;
  }
  override toString(): string {
    return this.name;
  }
}

/** A prefix may end with a dash: the generated suffix follows. */
const prefixed =
  (validate: Validate): Validate =>
  (text) =>
    validate(text.length > 1 && text.endsWith("-") ? `${text.slice(0, -2)}a` : text);
const matching =
  (pattern: RegExp, message: string): Validate =>
  (text) =>
    pattern.test(text) ? [] : [message];
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const isDate = (text: string): boolean =>
  DATE.test(text) && new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);
function isDateTime(text: string): boolean {
  try {
    parseTimestamp(text);
    return true;
  } catch (error) {
    if (error instanceof CelError) return false;
    throw error;
  }
}
const holds =
  (test: (text: string) => boolean, message: string): Validate =>
  (text) =>
    test(text) ? [] : [message];
const isDateSafely = (text: string): boolean =>
  DATE.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`)) && isDate(text);

/** Assumed while it is not known which format it will be. */
const LONGEST_PATTERN = 128;
/** Characters of the pattern by which a format would be checked, for its cost. */
const PATTERNS: Readonly<Record<string, number>> = {
  dns1123Label: 30,
  dns1123Subdomain: 60,
  dns1035Label: 30,
  qualifiedName: 60,
  dns1123LabelPrefix: 30,
  dns1123SubdomainPrefix: 60,
  dns1035LabelPrefix: 30,
  labelValue: 40,
  uri: 1104,
  uuid: 72,
  byte: 84,
  date: 72,
  datetime: 72,
};

const FORMATS: readonly Format[] = (
  [
    ["dns1123Label", isDns1123Label],
    ["dns1123Subdomain", isDns1123Subdomain],
    ["dns1035Label", isDns1035Label],
    ["qualifiedName", isQualifiedName],
    ["dns1123LabelPrefix", prefixed(isDns1123Label)],
    ["dns1123SubdomainPrefix", prefixed(isDns1123Subdomain)],
    ["dns1035LabelPrefix", prefixed(isDns1035Label)],
    ["labelValue", isValidLabelValue],
    ["uri", matching(/^(?:[a-zA-Z][a-zA-Z0-9+.-]*:\S+|\/\S*)$/, "invalid URI")],
    ["uuid", matching(/^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$/, "does not match the UUID format")],
    ["byte", matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "invalid base64")],
    ["date", holds(isDateSafely, "invalid date")],
    ["datetime", holds(isDateTime, "invalid datetime")],
  ] as const
).map(([name, validate]) => new Format(name, validate));

function validate(format: Format, text: string): Optional {
  const messages = format.validate(text);
  return new Optional(messages.length === 0 ? undefined : new ArrayList([...messages]));
}

/** Kubernetes' named formats (apiserver/pkg/cel/library/format.go). */
export const formatLibrary: readonly Overload[] = [
  declare(
    "format.named",
    "(string) -> optional<kubernetes.NamedFormat>",
    (name: string) => new Optional(FORMATS.find((format) => format.name === name)),
  ),
  ...FORMATS.map((format) => declare(`format.${format.name}`, "() -> kubernetes.NamedFormat", () => format)),
  declare("validate", "kubernetes.NamedFormat.(string) -> optional<list<string>>", validate, (sizes) =>
    searching(sizes.of(1), sizes.estimated ? LONGEST_PATTERN : sizes.of(0)),
  ),
];
