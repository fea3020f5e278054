import { LRUCache } from "lru-cache";
import { notAcceptable, StatusError } from "#pkg/apimachinery/index.ts";

export type Encoding = "json" | "yaml" | "protobuf";
/** What an object is turned into before it is encoded. */
export type Transform = "none" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";

/** Group version of what objects are turned into: old clients know the beta one only. */
export type MetaVersion = "meta.k8s.io/v1" | "meta.k8s.io/v1beta1";

export interface Negotiated {
  readonly encoding: Encoding;
  readonly transform: Transform;
  readonly metaVersion: MetaVersion;
  /** The client would rather do without metadata.managedFields (our own parameter: `managedfields=omit`). */
  readonly lean: boolean;
}

export const CONTENT_TYPES: Readonly<Record<Encoding, string>> = {
  json: "application/json",
  yaml: "application/yaml",
  protobuf: "application/vnd.kubernetes.protobuf",
};
const WATCH_CONTENT_TYPES: Readonly<Record<Encoding, string>> = {
  json: "application/json",
  yaml: "application/yaml;stream=watch",
  protobuf: "application/vnd.kubernetes.protobuf;stream=watch",
};

/** A map, because clients ask by any word, those that every object has among them. */
const ENCODING_OF: ReadonlyMap<string, Encoding> = new Map([
  ["application/json", "json"],
  ["application/yaml", "yaml"],
  ["application/vnd.kubernetes.protobuf", "protobuf"],
]);

export interface MediaType {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

/** What a resource can be sent as. */
export interface Offers {
  readonly protobuf: boolean;
  readonly transforms: boolean;
  /** Is there a stream of it, too? */
  readonly streams?: boolean;
}

/** Reads Accept headers; every distinct header is read once. */
export class Negotiator {
  readonly #parsed = new LRUCache<string, readonly MediaType[]>({ max: 256 });

  /**
   * The first offer, in the client's order, that we can make.
   * @throws StatusError 406
   */
  negotiate(accept: string | undefined, offers: Offers): Negotiated {
    if (accept === undefined || accept === "" || accept === "*/*" || accept === "application/json") return PLAIN_JSON;
    for (const media of this.parse(accept)) {
      const encoding = encodingOf(media.type, offers);
      if (encoding === undefined) continue;
      const transform = transformOf(media.parameters, offers);
      if (transform === undefined) continue;
      const beta = transform !== "none" && media.parameters["v"] === "v1beta1";
      const lean = media.parameters["managedfields"] === "omit";
      return { encoding, transform, metaVersion: beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1", lean };
    }
    throw refusal(this.parse(accept), offers);
  }
  parse(accept: string): readonly MediaType[] {
    let media = this.#parsed.get(accept);
    if (media === undefined) {
      media = parseAccept(accept);
      this.#parsed.set(accept, media);
    }
    return media;
  }
}

const PLAIN_JSON: Negotiated = Object.freeze({
  encoding: "json",
  transform: "none",
  metaVersion: "meta.k8s.io/v1",
  lean: false,
});

/** Why nothing suits: what has protobuf is behind upstream's router, which looks at the types alone, and refuses in its own words. */
function refusal(asked: readonly MediaType[], offers: Offers): StatusError {
  const types = [CONTENT_TYPES.json, CONTENT_TYPES.yaml, CONTENT_TYPES.protobuf];
  if (!offers.protobuf || asked.some(({ type }) => types.includes(type))) {
    return notAcceptable(`only the following media types are accepted: ${types.join(", ")}`);
  }
  const streams = ["application/json;stream=watch", WATCH_CONTENT_TYPES.protobuf];
  return noRepresentation(offers.streams === true ? [...types, ...streams] : types);
}

/** 406 of upstream's router. */
export const noRepresentation = (types: readonly string[]): StatusError =>
  new StatusError({
    status: "Failure",
    reason: "NotAcceptable",
    code: 406,
    message: `406: Not Acceptable\n\nAvailable representations: ${types.join(", ")}`,
    details: {},
  });

function encodingOf(type: string, offers: Offers): Encoding | undefined {
  if (type === "*/*" || type === "application/*") return "json";
  const encoding = ENCODING_OF.get(type);
  return encoding === "protobuf" && !offers.protobuf ? undefined : encoding;
}

function transformOf(parameters: Readonly<Record<string, string>>, offers: Offers): Transform | undefined {
  const as = parameters["as"];
  if (as === undefined) return "none";
  if (!offers.transforms || parameters["g"] !== "meta.k8s.io") return undefined;
  if (parameters["v"] !== "v1" && parameters["v"] !== "v1beta1") return undefined;
  if (as === "Table" || as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return as;
  return undefined;
}

/** Media ranges by descending quality, otherwise in the client's order. */
export function parseAccept(header: string): MediaType[] {
  const media = header
    .split(",")
    .slice(0, 64)
    .map((range) => parseMediaType(range))
    .filter(({ type, quality }) => type !== "" && quality > 0);
  return media.sort((a, b) => b.quality - a.quality);
}

/** `application/json;as=Table;v=v1` in parts; names are lower-cased, quotes removed. */
export function parseMediaType(text: string): MediaType {
  const [type = "", ...rest] = text.split(";");
  const parameters: Record<string, string> = {};
  for (const parameter of rest) {
    const equals = parameter.indexOf("=");
    if (equals < 0) continue;
    const value = parameter.slice(equals + 1).trim();
    parameters[parameter.slice(0, equals).trim().toLowerCase()] = value.replaceAll(/^"|"$/g, "");
  }
  const quality = parameters["q"] === undefined ? 1 : Number(parameters["q"]);
  return { type: type.trim().toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 1 };
}

export function contentTypeOf(encoding: Encoding, watch: boolean): string {
  return watch ? WATCH_CONTENT_TYPES[encoding] : CONTENT_TYPES[encoding];
}

/** Encoding of a request body; absent means JSON. undefined when we cannot read it. */
export function bodyEncoding(contentType: string | undefined): Encoding | undefined {
  if (contentType === undefined || contentType === "" || contentType === "application/json") return "json";
  // A parameter without a value makes no media type.
  if (/;[^;=]*[^;=\s][^;=]*(?:;|$)/.test(contentType)) return undefined;
  return ENCODING_OF.get(parseMediaType(contentType).type);
}
