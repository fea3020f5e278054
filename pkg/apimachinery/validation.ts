/**
 * Syntax of names, labels and annotations. Each function returns messages in upstream's wording, none when the value
 * is good. Source: k8s.io/apimachinery util/validation.
 */
import type { FieldError } from "./errors.ts";
import { fieldInvalid, fieldTooLong } from "./field-errors.ts";

const LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT = `${LABEL_FORMAT}(\\.${LABEL_FORMAT})*`;
const WILDCARD_FORMAT = `\\*\\.${SUBDOMAIN_FORMAT}`;
const DNS1035_FORMAT = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_FORMAT = `(${QUALIFIED_NAME_FORMAT})?`;
const CONFIG_MAP_KEY_FORMAT = "[-._a-zA-Z0-9]+";
const HTTP_HEADER_FORMAT = "[-A-Za-z0-9]+";
const PERCENT_FORMAT = "[0-9]+%";
const C_IDENTIFIER_FORMAT = "[A-Za-z_][A-Za-z0-9_]*";

// The formats with nested repetition are linear here because every branch starts with a character of its own.
const LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const DNS1035 = /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED_NAME = /^(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const LABEL_MAX_LENGTH = 63;
const SUBDOMAIN_MAX_LENGTH = 253;
/** Bytes of all annotation keys and values of one object together. */
export const TOTAL_ANNOTATION_SIZE_LIMIT_BYTES = 256 * 1024;

const maxLengthMessage = (length: number): string => `must be no more than ${length} characters`;
/** What is said of the parts of label keys and of label values, which are measured alike. */
const maxBytesMessage = (length: number): string => `must be no more than ${length} bytes`;
const emptyMessage = (): string => "must be non-empty";
const rangeMessage = (low: number, high: number): string => `must be between ${low} and ${high}, inclusive`;

/** A message that shows the regular expression, with examples of good values. */
function regexMessage(message: string, format: string, ...examples: string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${format}')`;
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

/** Bytes of `text` as UTF-8; of short ASCII, which names are, without leaving the engine. */
function utf8Length(text: string): number {
  if (text.length > SUBDOMAIN_MAX_LENGTH) return Buffer.byteLength(text, "utf8");
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return Buffer.byteLength(text, "utf8");
  return text.length;
}

/** Lower-case letters, digits and '-', at most 63 characters. */
export function isDns1123Label(value: string): string[] {
  const messages: string[] = [];
  if (utf8Length(value) > LABEL_MAX_LENGTH) messages.push(maxLengthMessage(LABEL_MAX_LENGTH));
  if (!LABEL.test(value)) {
    if (isDns1123SubdomainSyntax(value)) messages.push("must not contain dots");
    else {
      messages.push(
        regexMessage(
          "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
          LABEL_FORMAT,
          "my-name",
          "123-abc",
        ),
      );
    }
  }
  return messages;
}

function isDns1123SubdomainSyntax(value: string): boolean {
  return SUBDOMAIN.test(value);
}

/** Labels joined with dots, at most 253 characters. */
export function isDns1123Subdomain(value: string): string[] {
  return subdomainMessages(value, maxLengthMessage);
}

const SEARCH_LABEL_FORMAT = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const SEARCH_FORMAT = `${SEARCH_LABEL_FORMAT}(\\.${SEARCH_LABEL_FORMAT})*`;
const SEARCH = new RegExp(`^${SEARCH_FORMAT}$`);

/** What a resolver may append to names: the search lists of real networks have underscores (KEP-4427). */
export function isDns1123SubdomainWithUnderscore(value: string): string[] {
  const messages = utf8Length(value) > SUBDOMAIN_MAX_LENGTH ? [maxLengthMessage(SUBDOMAIN_MAX_LENGTH)] : [];
  if (SEARCH.test(value)) return messages;
  const what =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
  return [...messages, regexMessage(what, SEARCH_FORMAT, "example.com")];
}

function subdomainMessages(value: string, tooLong: (length: number) => string): string[] {
  const messages: string[] = [];
  if (value.length > SUBDOMAIN_MAX_LENGTH && utf8Length(value) > SUBDOMAIN_MAX_LENGTH) {
    messages.push(tooLong(SUBDOMAIN_MAX_LENGTH));
  }
  if (!SUBDOMAIN.test(value)) {
    messages.push(
      regexMessage(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        SUBDOMAIN_FORMAT,
        "example.com",
      ),
    );
  }
  return messages;
}

/** As a label, but starting with a letter: the names of Services. */
export function isDns1035Label(value: string): string[] {
  const messages: string[] = [];
  if (utf8Length(value) > LABEL_MAX_LENGTH) messages.push(maxLengthMessage(LABEL_MAX_LENGTH));
  if (!DNS1035.test(value)) {
    messages.push(
      regexMessage(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        DNS1035_FORMAT,
        "my-name",
        "abc-123",
      ),
    );
  }
  return messages;
}

/** "*." and a subdomain: wildcard hosts of Ingress. */
export function isWildcardDns1123Subdomain(value: string): string[] {
  const messages: string[] = [];
  if (utf8Length(value) > SUBDOMAIN_MAX_LENGTH) messages.push(maxLengthMessage(SUBDOMAIN_MAX_LENGTH));
  if (!value.startsWith("*.") || !SUBDOMAIN.test(value.slice(2))) {
    messages.push(
      regexMessage(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        WILDCARD_FORMAT,
        "*.example.com",
      ),
    );
  }
  return messages;
}

const QUALIFIED_NAME_MESSAGE = regexMessage(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  QUALIFIED_NAME_FORMAT,
  "MyName",
  "my.name",
  "123-abc",
);

/** Label and annotation keys, resource names: a name of at most 63 characters with an optional "prefix/". */
export function isQualifiedName(value: string): string[] {
  const slash = value.indexOf("/");
  if (slash >= 0 && value.includes("/", slash + 1)) {
    return [
      `a valid label key ${QUALIFIED_NAME_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const messages: string[] = [];
  if (slash >= 0) {
    const prefix = value.slice(0, slash);
    if (prefix === "") messages.push(`prefix part ${emptyMessage()}`);
    else for (const message of subdomainMessages(prefix, maxBytesMessage)) messages.push(`prefix part ${message}`);
  }
  const name = value.slice(slash + 1);
  if (name === "") messages.push(`name part ${emptyMessage()}`);
  else if (utf8Length(name) > LABEL_MAX_LENGTH) messages.push(`name part ${maxBytesMessage(LABEL_MAX_LENGTH)}`);
  if (!QUALIFIED_NAME.test(name)) messages.push(`name part ${QUALIFIED_NAME_MESSAGE}`);
  return messages;
}

/** Empty, or at most 63 characters of the qualified-name alphabet. */
export function isValidLabelValue(value: string): string[] {
  const messages: string[] = [];
  if (value.length > LABEL_MAX_LENGTH || utf8Length(value) > LABEL_MAX_LENGTH)
    messages.push(maxBytesMessage(LABEL_MAX_LENGTH));
  if (value !== "" && !QUALIFIED_NAME.test(value)) {
    messages.push(
      regexMessage(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        LABEL_VALUE_FORMAT,
        "MyValue",
        "my_value",
        "12345",
      ),
    );
  }
  return messages;
}

/** File names in ConfigMaps and Secrets. */
export function isConfigMapKey(value: string): string[] {
  const messages: string[] = [];
  if (utf8Length(value) > SUBDOMAIN_MAX_LENGTH) messages.push(maxLengthMessage(SUBDOMAIN_MAX_LENGTH));
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    messages.push(
      regexMessage(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        CONFIG_MAP_KEY_FORMAT,
        "key.name",
        "KEY_NAME",
        "key-name",
      ),
    );
  }
  if (value === ".") messages.push("must not be '.'");
  else if (value === "..") messages.push("must not be '..'");
  else if (value.startsWith("..")) messages.push("must not start with '..'");
  return messages;
}

/** Environment variable names: printable ASCII without '='. */
export function isEnvVarName(value: string): string[] {
  if (value === "") return [`environment variable name ${emptyMessage()}`];
  if (/^[\x20-\x3c\x3e-\x7e]+$/.test(value)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Identifiers of C: letters, digits and underscores, no digit first. */
export function isCIdentifier(value: string): string[] {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) return [];
  return [
    regexMessage(
      "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
      C_IDENTIFIER_FORMAT,
      "my_name",
      "MY_NAME",
      "MyName",
    ),
  ];
}

/** Names of HTTP headers, as probes may set them. */
export function isHttpHeaderName(value: string): string[] {
  if (/^[-A-Za-z0-9]+$/.test(value)) return [];
  return [
    regexMessage(
      "a valid HTTP header must consist of alphanumeric characters or '-'",
      HTTP_HEADER_FORMAT,
      "X-Header-Name",
    ),
  ];
}

/** Whole percentages: "25%". */
export function isValidPercent(value: string): string[] {
  if (/^[0-9]+%$/.test(value)) return [];
  return [
    regexMessage(
      "a valid percent string must be a numeric string followed by an ending '%'",
      PERCENT_FORMAT,
      "1%",
      "93%",
    ),
  ];
}

/** Ports by number. */
export function isValidPortNumber(port: number): string[] {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : [rangeMessage(1, 65535)];
}

/** IANA service names: names of container and service ports. */
export function isValidPortName(port: string): string[] {
  const messages: string[] = [];
  if (utf8Length(port) > 15) messages.push(maxLengthMessage(15));
  if (!/^[-a-z0-9]+$/.test(port))
    messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(port)) messages.push("must contain at least one letter (a-z)");
  if (port.includes("--")) messages.push("must not contain consecutive hyphens");
  if (port !== "" && (port.startsWith("-") || port.endsWith("-"))) messages.push("must not begin or end with a hyphen");
  return messages;
}

/** Names that become a segment of a URL path (RBAC objects, for instance). With `prefix`, `value` is a generateName. */
export function isValidPathSegmentName(value: string, prefix = false): string[] {
  if (!prefix && (value === "." || value === "..")) return [`may not be '${value}'`];
  const messages: string[] = [];
  for (const character of ["/", "%"]) {
    if (value.includes(character)) messages.push(`may not contain '${character}'`);
  }
  return messages;
}

/** Errors of a label map at `path`, e.g. metadata.labels, in the order of its keys. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const keys = Object.keys(labels ?? {});
  // Nearly always nothing is wrong, and then the order is of no interest.
  if (keys.every((key) => isKnownName(key) && isValidLabelValue(labels![key]!).length === 0)) return errors;
  for (const key of keys.sort()) {
    for (const message of isQualifiedName(key)) errors.push(fieldInvalid(path, key, message));
    for (const message of isValidLabelValue(labels![key]!)) errors.push(fieldInvalid(path, labels![key], message));
  }
  return errors;
}

/** Errors of an annotation map at `path`: key syntax and total size. */
export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const keys = Object.keys(annotations ?? {});
  let size = 0;
  for (const key of keys) size += utf8Length(key) + utf8Length(annotations![key]!);
  if (!keys.every(isKnownName)) {
    for (const key of keys.sort()) {
      for (const message of isQualifiedName(key.toLowerCase())) errors.push(fieldInvalid(path, key, message));
    }
  }
  if (size > TOTAL_ANNOTATION_SIZE_LIMIT_BYTES) errors.push(fieldTooLong(path, TOTAL_ANNOTATION_SIZE_LIMIT_BYTES));
  return errors;
}

/** Memo: qualified names that have been found to be valid. All objects of a cluster use the same few keys. */
const knownNames = new Set<string>();
const MAX_KNOWN_NAMES = 1024;
const MAX_KNOWN_LENGTH = 128;

function isKnownName(key: string): boolean {
  if (knownNames.has(key)) return true;
  if (isQualifiedName(key).length > 0) return false;
  if (knownNames.size < MAX_KNOWN_NAMES && key.length <= MAX_KNOWN_LENGTH) knownNames.add(key);
  return true;
}
