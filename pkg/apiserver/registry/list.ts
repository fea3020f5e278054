/** GET of a collection: a page of cache entries, whose bytes are joined and not encoded anew. */
import { badRequest, expired, encodeYaml, notAcceptable, StatusError } from "#pkg/apimachinery/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { encodeProtobuf, envelopeAround } from "#pkg/apimachinery/protobuf/index.ts";
import type { ListMeta } from "#pkg/api/types/meta-v1.ts";
import { CompactedError, FutureRevisionError } from "#pkg/storage/index.ts";
import type { CacheEntry, CacheListOptions, CacheListResult } from "#pkg/storage/cacher/index.ts";
import { acceptsGzip, encodeObject, GZIP_FROM_BYTES, sendBytes, sendGzip } from "../http/reply.ts";
import { resourceVersionTooLarge } from "../http/status.ts";
import type { MetaVersion } from "../http/negotiate.ts";
import type { Call } from "./call.ts";
import { gzipList, type ListForm } from "./compressed-list.ts";
import { type ContinueToken, decodeContinue, encodeContinue } from "./continue-token.ts";
import type { InstalledResource } from "./installed.ts";
import { type ListOptions, parseListOptions, parseRevision } from "./options.ts";
import { encodePartial, includeObjectOf, negotiate, partialJson, partialOf, protobufOf } from "./represent.ts";
import { type Selection, selectionOf } from "./selection.ts";
import { joinTable, tableOf } from "./table.ts";

export interface ListedPage {
  readonly entries: readonly CacheEntry[];
  readonly metadata: ListMeta;
}

/** GET of a collection. */
export async function listObjects(call: Call): Promise<void> {
  const options = parseListOptions(call.target.query, false);
  const { encoding, transform, metaVersion } = negotiate(call);
  const { installed } = call;
  const page = await listPage(call, options);
  if (transform === "none") {
    if (encoding !== "yaml" && wantsCompressed(call, options)) await sendCompressed(call, page, encoding);
    else await sendBytes(call, 200, encoding, encodeList(installed, page, encoding));
    return;
  }
  if (transform === "Table") {
    if (encoding === "protobuf") throw notAcceptable("Table is served as application/json or application/yaml");
    const include = includeObjectOf(call);
    if (encoding === "json") {
      await sendBytes(
        call,
        200,
        encoding,
        joinTable(installed, page.entries, page.metadata, include, call.now, metaVersion),
      );
      return;
    }
    const table = tableOf(
      installed.definition,
      page.metadata,
      objectsOf(installed, page),
      include,
      call.now,
      metaVersion,
    );
    await sendBytes(call, 200, encoding, encodeObject(encoding, table));
    return;
  }
  if (transform === "PartialObjectMetadata") {
    throw notAcceptable("PartialObjectMetadata is served for single objects only");
  }
  const list = { kind: "PartialObjectMetadataList", apiVersion: metaVersion, metadata: page.metadata };
  if (encoding === "json") {
    await sendBytes(call, 200, encoding, joinPartial(installed, page.entries, list));
    return;
  }
  const items = objectsOf(installed, page).map((object) => partialOf(object, metaVersion));
  const partial = { ...list, items };
  await sendBytes(call, 200, encoding, encodePartial(encoding, partial));
}

/** Whether the client reads compressed bodies, and parts of this list may be asked for again. */
function wantsCompressed(call: Call, { labelSelector, fieldSelector }: ListOptions): boolean {
  if (call.pretty || !acceptsGzip(call.request)) return false;
  // What a selector leaves has other neighbours for each selector.
  return labelSelector === undefined && fieldSelector === undefined;
}

/** Sends a list, compressed if it is large. */
async function sendCompressed(call: Call, page: ListedPage, encoding: "json" | "protobuf"): Promise<void> {
  const { entries, metadata } = page;
  const form = formOf(call.installed, page, encoding);
  const small = smallItems(form, entries);
  if (small === undefined)
    sendGzip(call, 200, encoding, await gzipList(form, entries, metadata.continue !== undefined));
  else await sendBytes(call, 200, encoding, [form.head(sizeOf(small)), ...small, form.tail]);
}

/** The items as they are sent; undefined as soon as they are too large for that. */
function smallItems(form: ListForm, entries: readonly CacheEntry[]): Buffer[] | undefined {
  const items: Buffer[] = [];
  let size = form.head(0).length + form.tail.length;
  let measured = 0;
  for (let at = 0; at < entries.length; at++) {
    form.append(items, entries[at]!, at === 0);
    for (; measured < items.length; measured++) size += items[measured]!.length;
    if (size >= GZIP_FROM_BYTES) return undefined;
  }
  return items;
}

function objectsOf(installed: InstalledResource, { entries }: ListedPage): Readonly<KubeObject>[] {
  return entries.map((entry) => installed.object(entry));
}

/** Reads one page under all rules about resourceVersion, limit and continue. @throws StatusError 400, 410, 504 */
export async function listPage(call: Call, options: ListOptions): Promise<ListedPage> {
  const { installed, target } = call;
  const selection = selectionOf(installed, target, options);
  const token = options.continue === "" ? undefined : decodeContinue(options.continue);
  if (token !== undefined && options.resourceVersion !== "" && options.resourceVersion !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const cache = installed.cache!;
  const prefix = listPrefix(cache.prefix, installed, selection);
  let result: CacheListResult;
  try {
    const consistency = consistencyOf(options, token);
    if (typeof consistency === "object" && "exact" in consistency) {
      await call.services.registry.assertNotCompacted(consistency.exact);
    }
    const query: CacheListOptions = {
      namespace: selection.namespace,
      ...(selection.name === undefined ? {} : { name: selection.name }),
      ...(selection.index === undefined ? {} : { index: selection.index }),
      ...(token === undefined ? {} : { startAfter: prefix + token.startAfter }),
      consistency,
    };
    result = installed.convertsByAsking
      ? await listConverted(installed, query, selection, options.limit)
      : await cache.list({
          ...query,
          ...(selection.matches === undefined ? {} : { filter: selection.matches }),
          ...(options.limit > 0 ? { limit: options.limit } : {}),
        });
  } catch (error) {
    throw listError(error, options, token);
  }
  return { entries: result.entries, metadata: listMeta(result, prefix, selection, options) };
}

/** A list whose objects have to be converted before a selector can judge them. */
async function listConverted(
  installed: InstalledResource,
  query: CacheListOptions,
  { matches }: Selection,
  limit: number,
): Promise<CacheListResult> {
  const all = await installed.cache!.list(query);
  if (matches === undefined) {
    const entries = limit > 0 ? all.entries.slice(0, limit) : all.entries;
    await installed.prepare(entries);
    const remaining = all.entries.length - entries.length;
    return { ...all, entries, remaining, next: remaining > 0 ? entries.at(-1)!.key : undefined };
  }
  await installed.prepare(all.entries);
  const selected = all.entries.filter(matches);
  const entries = limit > 0 ? selected.slice(0, limit) : selected;
  const cut = entries.length < selected.length;
  return { ...all, entries, remaining: undefined, next: cut ? entries.at(-1)!.key : undefined };
}

/** Keys in continue tokens are relative to it. */
function listPrefix(prefix: string, { definition }: InstalledResource, { namespace }: Selection): string {
  return definition.namespaced && namespace !== "" ? `${prefix}${namespace}/` : prefix;
}

function consistencyOf(options: ListOptions, token: ContinueToken | undefined): CacheListOptions["consistency"] {
  if (token !== undefined) return token.revision < 0 ? "consistent" : { exact: token.revision };
  const { resourceVersion, resourceVersionMatch, limit } = options;
  if (resourceVersion === "") return "consistent";
  if (resourceVersion === "0") return "any";
  const revision = parseRevision(resourceVersion, "invalid resource version: ");
  // A limit without a match has always meant exactly that version.
  const exact = resourceVersionMatch === "Exact" || (resourceVersionMatch === "" && limit > 0);
  return exact ? { exact: revision } : { atLeast: revision };
}

function listMeta(result: CacheListResult, prefix: string, selection: Selection, options: ListOptions): ListMeta {
  const metadata: ListMeta = { resourceVersion: String(result.revision) };
  if (result.next === undefined || options.limit <= 0) return metadata;
  metadata.continue = encodeContinue({ revision: result.revision, startAfter: result.next.slice(prefix.length) });
  if (selection.matches === undefined && result.remaining !== undefined && result.remaining > 0) {
    metadata.remainingItemCount = result.remaining;
  }
  return metadata;
}

const TOKEN_EXPIRED =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
  "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
  "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or " +
  "deleted between the time the first chunk was returned and now may show up in the list.";

function listError(error: unknown, options: ListOptions, token: ContinueToken | undefined): unknown {
  if (error instanceof FutureRevisionError) return resourceVersionTooLarge(error, options.resourceVersion);
  if (!(error instanceof CompactedError)) return error;
  if (token === undefined) return expired("The resourceVersion for the provided list is too old.");
  const inconsistent = encodeContinue({ revision: -1, startAfter: token.startAfter });
  const { status } = expired(TOKEN_EXPIRED);
  return new StatusError({ ...status, metadata: { continue: inconsistent } });
}

/** The whole list, by joining the items' own bytes. */
export function encodeList(
  installed: InstalledResource,
  page: ListedPage,
  encoding: "json" | "yaml" | "protobuf",
): Buffer | Buffer[] {
  const { entries, metadata } = page;
  if (encoding === "yaml") {
    const items = entries.map((entry) => itemOf(installed, entry));
    const { apiVersion, definition } = installed;
    const shown = shownMeta(installed, metadata);
    return Buffer.from(encodeYaml({ apiVersion, items, kind: definition.listKind, metadata: shown }));
  }
  const form = formOf(installed, page, encoding);
  const items: Buffer[] = [];
  for (let i = 0; i < entries.length; i++) form.append(items, entries[i]!, i === 0);
  return [form.head(sizeOf(items)), ...items, form.tail];
}

function formOf(installed: InstalledResource, { metadata }: ListedPage, encoding: "json" | "protobuf"): ListForm {
  return encoding === "json" ? jsonForm(installed, metadata) : protobufForm(installed, metadata);
}

/** Lists of custom resources say also that nothing follows: upstream has no struct for them that leaves it out. */
function shownMeta({ definition }: InstalledResource, metadata: ListMeta): ListMeta {
  return definition.custom ? { continue: "", ...metadata } : metadata;
}

function sizeOf(chunks: readonly Buffer[]): number {
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  return size;
}

/** Items of typed lists carry no apiVersion and kind: their list says it. Custom resources do. */
function itemOf(installed: InstalledResource, entry: CacheEntry): unknown {
  const object = installed.object(entry);
  if (installed.definition.custom) return object;
  const { apiVersion: _apiVersion, kind: _kind, ...item } = object;
  return item;
}

const COMMA_OPEN = Buffer.from(",{");
const OPEN = Buffer.from("{");
const COMMA = Buffer.from(",");
const LIST_END = Buffer.from("]}");
const NOTHING = Buffer.alloc(0);

function jsonForm(installed: InstalledResource, metadata: ListMeta): ListForm {
  const { apiVersion, definition } = installed;
  const typed = !definition.custom;
  const typeFields = Buffer.from(
    `{"apiVersion":${JSON.stringify(apiVersion)},"kind":${JSON.stringify(definition.kind)},`,
  );
  return {
    name: `${installed.variant}:item`,
    head: () => jsonHead({ kind: definition.listKind, apiVersion, metadata: shownMeta(installed, metadata) }),
    append(chunks, entry, first) {
      const json = installed.json(entry);
      // Stored bytes always open with the type, in this order.
      if (typed && json.compare(typeFields, 0, typeFields.length, 0, typeFields.length) === 0) {
        chunks.push(first ? OPEN : COMMA_OPEN, json.subarray(typeFields.length));
        return;
      }
      if (!first) chunks.push(COMMA);
      chunks.push(json);
    },
    separator: COMMA,
    tail: LIST_END,
  };
}

function jsonHead(list: object): Buffer {
  return Buffer.from(`${JSON.stringify(list).slice(0, -1)},"items":[`);
}

function joinPartial(
  installed: InstalledResource,
  entries: readonly CacheEntry[],
  list: { readonly apiVersion: MetaVersion },
): Buffer[] {
  const chunks: Buffer[] = [jsonHead(list)];
  for (let i = 0; i < entries.length; i++) {
    if (i > 0) chunks.push(COMMA);
    chunks.push(...partialJson(installed, entries[i]!, list.apiVersion));
  }
  chunks.push(LIST_END);
  return chunks;
}

const TAG_METADATA = 0x0a;
const TAG_ITEMS = 0x12;

/** Every list message has its metadata in field 1 and its items in field 2. */
function protobufForm(installed: InstalledResource, metadata: ListMeta): ListForm {
  const meta = encodeProtobuf("k8s.io.apimachinery.pkg.apis.meta.v1.ListMeta", metadata);
  const metaField = Buffer.concat([lengthPrefix(TAG_METADATA, meta.length), meta]);
  const around = (length: number) => envelopeAround(installed.apiVersion, installed.definition.listKind, length);
  return {
    name: `${installed.variant}:protobuf-item`,
    head: (itemBytes) => Buffer.concat([around(metaField.length + itemBytes).head, metaField]),
    append(chunks, entry) {
      const item = protobufOf(installed, entry);
      chunks.push(lengthPrefix(TAG_ITEMS, item.length), item);
    },
    separator: NOTHING,
    tail: around(0).tail,
  };
}

function lengthPrefix(tag: number, length: number): Buffer {
  const bytes = [tag];
  let rest = length;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
