/** The message tables, read into a form the compiler of codecs works on. */
import data from "./data/messages.json" with { type: "json" };

/** One field of a message, as JSON and as protobuf have it. */
export interface FieldEntry {
  /** Member of the JSON object; for an embedded struct, its protobuf name. */
  readonly name: string;
  readonly number: number;
  readonly label: "optional" | "repeated" | "map";
  /** Scalar type, or full name of a message; of the elements where repeated, of the values where a map. */
  readonly type: string;
  readonly isMessage: boolean;
  /** An embedded struct: its members stand in the parent in JSON. */
  readonly inline: boolean;
  /** The zero value is written to JSON. */
  readonly keepsZero: boolean;
  /** What JSON has where there is none: the zero value of its type, null, or nothing. */
  readonly absent: "zero" | "null" | "nothing";
}

const packages = data.packages as Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;
const SCALARS = new Set(["string", "bool", "bytes", "int32", "int64", "double"]);

function splitName(message: string): [string, string] {
  const dot = message.lastIndexOf(".");
  return [message.slice(0, dot), message.slice(dot + 1)];
}

/** Is there a message of this full name, such as "k8s.io.api.core.v1.Pod"? */
export function hasMessage(message: string): boolean {
  const [pack, name] = splitName(message);
  return packages[pack]?.[name] !== undefined;
}

/** All message names, in the order of the tables. */
export function messageNames(): string[] {
  return Object.entries(packages).flatMap(([pack, messages]) => Object.keys(messages).map((name) => `${pack}.${name}`));
}

function parseField(pack: string, key: string, notation: string): FieldEntry {
  const match = /^(\d+) (\[\]|map<string,)?([\w.]+)>?( =)?( [!?])?$/.exec(notation);
  if (match === null) throw new Error(`The protobuf tables hold an unknown notation ${notation}`);
  const [, number, container, element, keepsZero, always] = match;
  const isMessage = !SCALARS.has(element!);
  return {
    name: key.startsWith("@") ? key.slice(1) : key,
    number: Number(number),
    label: container === undefined ? "optional" : container === "[]" ? "repeated" : "map",
    type: isMessage && !element!.includes(".") ? `${pack}.${element}` : element!,
    isMessage,
    inline: key.startsWith("@"),
    keepsZero: keepsZero !== undefined || always === " !",
    absent: always === undefined ? "nothing" : always === " !" ? "zero" : "null",
  };
}

/** Fields of a message in increasing order of number. @throws Error for a name the tables do not have. */
export function messageFields(message: string): readonly FieldEntry[] {
  const [pack, name] = splitName(message);
  const fields = packages[pack]?.[name];
  if (fields === undefined) throw new Error(`No protobuf message is called ${message}`);
  return Object.entries(fields).map(([key, notation]) => parseField(pack, key, notation));
}

/** Fields as JSON has them: those of embedded structs are their parent's. None for a name the tables do not have. */
export function jsonFields(message: string): FieldEntry[] {
  if (!hasMessage(message)) return [];
  return messageFields(message).flatMap((field) => (field.inline ? jsonFields(field.type) : [field]));
}

const GROUP_PACKAGES: Readonly<Record<string, string>> = {
  "": "k8s.io.api.core",
  "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
  "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
  "internal.apiserver.k8s.io": "k8s.io.api.apiserverinternal",
  "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
  "metrics.k8s.io": "k8s.io.metrics.pkg.apis.metrics",
};
const META = "k8s.io.apimachinery.pkg.apis.meta.v1";
/** Kinds of meta/v1 that every group version carries. */
const SHARED_KINDS = new Set([
  "APIGroup",
  "APIGroupList",
  "APIResourceList",
  "APIVersions",
  "CreateOptions",
  "DeleteOptions",
  "GetOptions",
  "ListOptions",
  "PatchOptions",
  "PartialObjectMetadata",
  "PartialObjectMetadataList",
  "Status",
  "UpdateOptions",
  "WatchEvent",
]);

/** The message of a kind, e.g. k8s.io.api.apps.v1.Deployment; undefined where protobuf has none (custom resources). */
export function protobufMessageFor(gvk: {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}): string | undefined {
  const { group, version, kind } = gvk;
  const pack = GROUP_PACKAGES[group] ?? `k8s.io.api.${group.split(".")[0]}`;
  const message = `${pack}.${version}.${kind}`;
  if (hasMessage(message)) return message;
  return SHARED_KINDS.has(kind) ? `${META}.${kind}` : undefined;
}
