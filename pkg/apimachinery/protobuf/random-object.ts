/** Random objects of any message, for the property tests beside this file. */
import type { Random } from "#pkg/util/index.ts";
import { type FieldEntry, messageFields } from "./tables.ts";

const META = "k8s.io.apimachinery.pkg.apis.meta.v1";
const WORDS = ["a", "nginx", "kube-system", "ünïcode", "日本", "x".repeat(200), "with space", "🚀"];

const pick = <T>(random: Random, from: readonly T[]): T => from[random.int(from.length)]!;
const text = (random: Random): string => pick(random, WORDS) + random.int(100);
const time = (random: Random): string => new Date(random.int(4_000_000_000) * 1000).toISOString();

function scalar(random: Random, type: string): unknown {
  switch (type) {
    case "bool":
      return true;
    case "int32":
      return random.int(2 ** 31 - 1) + 1 - (random.int(2) === 0 ? 0 : 2 ** 31);
    case "int64":
      return random.int(8) === 0
        ? (BigInt(random.int(2 ** 50) + 2 ** 42) * 4096n + 1n) * pick(random, [1n, -1n])
        : (random.int(2 ** 51) + 1) * pick(random, [1, 3, -1, -3]);
    case "double":
      return random.float() * 1e6 + 0.5;
    case "bytes":
      return Buffer.from(text(random)).toString("base64");
    default:
      return text(random);
  }
}

/** `depth` bounds nesting; deeper message fields stay away. */
export function randomObject(random: Random, message: string, depth: number): unknown {
  switch (message) {
    case "k8s.io.apimachinery.pkg.api.resource.Quantity":
    case "k8s.io.apimachinery.pkg.api.resource.QuantityValue":
      return pick(random, ["100m", "1Gi", "3", "1e3"]);
    case `${META}.Time`:
      return `${time(random).slice(0, 19)}Z`;
    case `${META}.MicroTime`:
      return `${time(random).slice(0, 20)}${String(random.int(1_000_000)).padStart(6, "0")}Z`;
    case `${META}.Duration`:
      return pick(random, ["0s", "1m30s", "2h0m0.5s", "-3s", "250ms"]);
    case "k8s.io.apimachinery.pkg.util.intstr.IntOrString":
      return random.int(2) === 0 ? random.int(65536) : "25%";
    case "k8s.io.apimachinery.pkg.runtime.RawExtension":
    case `${META}.FieldsV1`:
      return { "f:a": { ".": {} }, n: [1, "x", null] };
    default:
      break;
  }
  const short = message.slice(message.lastIndexOf(".") + 1);
  const schema = message.replace(/JSONSchemaPropsOr\w+|JSON$/, "JSONSchemaProps");
  if (short === "Verbs" || short === "ExtraValue") return ["get", text(random)];
  if (short === "JSON" && message.includes("apiextensions"))
    return pick<unknown>(random, [1, "x", false, [1], { a: 1 }]);
  if (short === "JSONSchemaPropsOrBool")
    return pick<unknown>(random, [true, false, randomObject(random, schema, depth - 1)]);
  if (short === "JSONSchemaPropsOrArray") {
    const nested = randomObject(random, schema, depth - 1);
    return pick<unknown>(random, [nested, [nested, nested]]);
  }
  if (short === "JSONSchemaPropsOrStringArray")
    return pick<unknown>(random, [randomObject(random, schema, depth - 1), ["a", "b"]]);

  const object: Record<string, unknown> = {};
  for (const field of messageFields(message)) {
    if (field.inline) Object.assign(object, randomObject(random, field.type, depth));
    else if (random.int(3) > 0 && !(field.isMessage && depth <= 0))
      object[field.name] = fieldValue(random, field, depth);
  }
  return object;
}

function fieldValue(random: Random, field: FieldEntry, depth: number): unknown {
  const one = () => (field.isMessage ? randomObject(random, field.type, depth - 1) : scalar(random, field.type));
  switch (field.label) {
    case "optional":
      return one();
    case "repeated":
      return Array.from({ length: 1 + random.int(3) }, one);
    case "map":
      return Object.fromEntries(Array.from({ length: 1 + random.int(3) }, (_, i) => [`k${i}${text(random)}`, one()]));
  }
}
