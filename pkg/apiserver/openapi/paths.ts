import type { ResourceDefinition, SubresourceDefinition, Verb } from "#pkg/api/index.ts";
import { definitionNameOf } from "#pkg/api/index.ts";
import { returnsDeleted } from "../registry/delete.ts";
import {
  DELETE,
  GET,
  LIST,
  OPTIONS,
  Parameters,
  PATCH,
  pathItem,
  PRETTY,
  type ValueTypes,
  WATCH,
  WRITE,
} from "./parameters.ts";
import { type Descriptions, type Dialect, type Json, ref } from "./schemas.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PRODUCES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];
const ANYTHING = ["*/*"];
/** Custom resources have no protobuf form, neither alone nor in lists. */
const CUSTOM_TYPES = ["application/json", "application/yaml"];
/** kubectl decides by this how to patch: custom resources know no strategic merge. */
const CUSTOM_PATCHES = PATCHES.filter((type) => !type.includes("strategic"));

/** How one verb is described. */
interface Operation {
  /** As x-kubernetes-action says it. */
  readonly action: string;
  readonly method: string;
  /** What the operation's id begins with. */
  readonly word: string;
}
const OPERATIONS: Readonly<Partial<Record<Verb, Operation>>> = {
  get: { action: "get", method: "get", word: "read" },
  list: { action: "list", method: "get", word: "list" },
  create: { action: "post", method: "post", word: "create" },
  update: { action: "put", method: "put", word: "replace" },
  patch: { action: "patch", method: "patch", word: "patch" },
  delete: { action: "delete", method: "delete", word: "delete" },
  deletecollection: { action: "deletecollection", method: "delete", word: "delete" },
};
const COLLECTION_VERBS: readonly Verb[] = ["list", "create", "deletecollection"];
const OBJECT_VERBS: readonly Verb[] = ["get", "update", "patch", "delete"];
const TUNNEL_METHODS = ["get", "post"];
const PROXY_METHODS = ["delete", "get", "head", "options", "patch", "post", "put"];

/** Names the definition of a kind in this document. */
export type NameOf = (group: string, version: string, kind: string) => string | undefined;
export const builtinName: NameOf = definitionNameOf;

/** Paths of one resource, its subresources and its collection. */
export function resourcePaths(
  dialect: Dialect,
  definition: ResourceDefinition,
  nameOf: NameOf,
  descriptions: Descriptions,
): Json {
  const { group, version, plural, namespaced, verbs, custom } = definition;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = namespaced ? "/namespaces/{namespace}" : "";
  const build = new PathBuilder(dialect, definition, nameOf, descriptions);
  const paths: Json = {};
  const add = (path: string, operations: Record<string, Json>): void => {
    if (Object.keys(operations).length > 0) paths[`${root}${path}`] = pathItem(operations);
  };
  const collection = `${scope}/${plural}`;
  add(collection, build.operations(COLLECTION_VERBS.filter((verb) => verbs.includes(verb))));
  if (namespaced && verbs.includes("list")) add(`/${plural}`, build.ofAllNamespaces());
  add(`${collection}/{name}`, build.operations(OBJECT_VERBS.filter((verb) => verbs.includes(verb))));
  for (const subresource of definition.subresources) {
    const path = `${collection}/{name}/${subresource.name}`;
    if (OPTIONS[subresource.kind] === undefined) {
      add(path, build.operations(subresource.verbs, subresource));
    } else {
      add(path, build.connections(subresource, false));
      if (subresource.name === "proxy") add(`${path}/{path}`, build.connections(subresource, true));
    }
  }
  if (!custom && verbs.includes("watch")) {
    add(`/watch${collection}`, build.watch("watchlist"));
    add(`/watch${collection}/{name}`, build.watch("watch"));
    if (namespaced) add(`/watch/${plural}`, build.watch("watchlist", true));
  }
  return paths;
}

class PathBuilder {
  readonly #dialect: Dialect;
  readonly #definition: ResourceDefinition;
  readonly #nameOf: NameOf;
  readonly #parameters: Parameters;

  constructor(dialect: Dialect, definition: ResourceDefinition, nameOf: NameOf, descriptions: Descriptions) {
    this.#dialect = dialect;
    this.#definition = definition;
    this.#nameOf = nameOf;
    this.#parameters = new Parameters(dialect, descriptions);
  }

  /** What can be done with objects, their collection or a subresource, by method. */
  operations(verbs: readonly Verb[], subresource?: SubresourceDefinition): Record<string, Json> {
    const operations: Record<string, Json> = {};
    for (const verb of verbs) {
      const operation = OPERATIONS[verb];
      if (operation !== undefined) operations[operation.method] = this.#operation(verb, operation, subresource);
    }
    return operations;
  }
  ofAllNamespaces(): Record<string, Json> {
    return { get: this.#operation("list", OPERATIONS.list!, undefined, true) };
  }
  /** Paths that only watch, from before there was the parameter. */
  watch(action: "watch" | "watchlist", allNamespaces = false): Record<string, Json> {
    const { kind } = this.#definition;
    const many = action === "watchlist";
    const about = many ? `individual changes to a list of ${kind}` : `changes to an object of kind ${kind}`;
    const instead = many ? "" : ", filtered to a single item with the 'fieldSelector' parameter";
    const { id, tag } = this.#identity("watch", many ? "List" : "", allNamespaces);
    const event = `${META}.WatchEvent`;
    return {
      get: {
        description: `watch ${about}. deprecated: use the 'watch' parameter with a list operation instead${instead}.`,
        tags: [tag],
        operationId: id,
        ...this.#types(ANYTHING, [...PRODUCES, ...STREAMS]),
        parameters: [...this.#parameters.query({ ...PRETTY, ...WATCH }), ...this.#path(!many, allNamespaces, kind)],
        responses: this.#responses(event, [...PRODUCES, ...STREAMS], ["200"]),
        ...this.#extensions(action, this.#definition),
      },
    };
  }
  /** A subresource that connects to something else, by method; `below`: to something below it. */
  connections(subresource: SubresourceDefinition, below: boolean): Record<string, Json> {
    const { kind, name } = subresource;
    const operations: Record<string, Json> = {};
    for (const method of subresource.verbs.includes("delete") ? PROXY_METHODS : TUNNEL_METHODS) {
      const { id, tag } = this.#identity("connect", upper(name), false, upper(method), below ? "WithPath" : "");
      operations[method] = {
        description: `connect ${method.toUpperCase()} requests to ${name} of ${this.#definition.kind}`,
        tags: [tag],
        operationId: id,
        ...this.#types(ANYTHING, ANYTHING),
        parameters: [
          ...this.#parameters.query(OPTIONS[kind]!, kind),
          ...this.#path(true, false, kind),
          ...(below ? [this.#parameters.path("path", "path to the resource")] : []),
        ],
        responses: this.#responses(undefined, ANYTHING, ["200"]),
        ...this.#extensions("connect", this.#kindOf(subresource)),
      };
    }
    return operations;
  }

  #operation(
    verb: Verb,
    { action, word }: Operation,
    subresource: SubresourceDefinition | undefined,
    allNamespaces = false,
  ): Json {
    const definition = this.#definition;
    const kind = this.#kindOf(subresource);
    const collection = verb === "deletecollection" ? "Collection" : "";
    const { id, tag } = this.#identity(word, upper(subresource?.name ?? ""), allNamespaces, collection);
    const produces = this.#produces(verb, subresource);
    const named = subresource !== undefined || OBJECT_VERBS.includes(verb);
    const body = this.#bodyOf(verb, subresource);
    const consumes = this.#consumes(verb);
    return {
      description: descriptionOf(verb, definition, subresource?.name),
      tags: [tag],
      operationId: id,
      ...this.#types(consumes, produces),
      parameters: [
        ...this.#query(verb, subresource),
        ...this.#path(named, allNamespaces, definition.custom ? definition.kind : kind.kind),
        ...(this.#dialect === "v2" && body !== undefined ? [bodyParameter(verb, body)] : []),
      ],
      ...(this.#dialect === "v3" && body !== undefined
        ? { requestBody: { ...this.#content(body, consumes), ...needed(verb) } }
        : {}),
      responses: this.#responses(this.#answerOf(verb, subresource), produces, codesOf(verb, definition.custom)),
      ...this.#extensions(action, definition.custom ? definition : kind),
    };
  }

  #query(verb: Verb, subresource: SubresourceDefinition | undefined): Json[] {
    const parameters = this.#parameters;
    if (subresource?.name === "log")
      return parameters.query({ ...PRETTY, ...OPTIONS["PodLogOptions"] }, "PodLogOptions");
    return parameters.query(
      { ...PRETTY, ...typesOf(verb, this.#definition.custom) },
      verb === "patch" ? "PatchOptions" : undefined,
    );
  }
  #path(named: boolean, allNamespaces: boolean, kind: string): Json[] {
    const { namespaced } = this.#definition;
    return [
      ...(named ? [this.#parameters.path("name", `name of the ${kind}`)] : []),
      ...(namespaced && !allNamespaces
        ? [this.#parameters.path("namespace", "object name and auth scope, such as for teams and projects")]
        : []),
    ];
  }
  #kindOf(subresource: SubresourceDefinition | undefined): { group: string; version: string; kind: string } {
    const { group, version, kind } = this.#definition;
    return {
      group: subresource?.group ?? group,
      version: subresource?.version ?? version,
      kind: subresource?.kind ?? kind,
    };
  }
  #bodyOf(verb: Verb, subresource: SubresourceDefinition | undefined): string | undefined {
    if (verb === "get" || verb === "list") return undefined;
    if (verb === "patch") return `${META}.Patch`;
    if (verb === "deletecollection" && this.#definition.custom) return undefined;
    if (verb === "delete" || verb === "deletecollection") return `${META}.DeleteOptions`;
    const { group, version, kind } = this.#kindOf(subresource);
    return this.#nameOf(group, version, kind);
  }
  #answerOf(verb: Verb, subresource: SubresourceDefinition | undefined): string | undefined {
    const { group, version, kind } = this.#kindOf(subresource);
    if (subresource?.name === "log") return undefined;
    if (verb === "deletecollection") return `${META}.Status`;
    if (verb === "delete" && !returnsDeleted(this.#definition)) return `${META}.Status`;
    return this.#nameOf(group, version, verb === "list" ? this.#definition.listKind : kind);
  }
  #consumes(verb: Verb): readonly string[] {
    const { custom } = this.#definition;
    if (verb === "patch") return custom ? CUSTOM_PATCHES : PATCHES;
    return custom ? CUSTOM_TYPES : ANYTHING;
  }
  #produces(verb: Verb, subresource: SubresourceDefinition | undefined): readonly string[] {
    if (this.#definition.custom) return CUSTOM_TYPES;
    if (subresource?.name === "log") return ["text/plain", ...PRODUCES];
    return verb === "list" ? [...PRODUCES, ...STREAMS] : PRODUCES;
  }

  #types(consumes: readonly string[], produces: readonly string[]): Json {
    return this.#dialect === "v2" ? { consumes, produces, schemes: ["https"] } : {};
  }
  #content(name: string | undefined, types: readonly string[]): Json {
    const schema = name === undefined ? { type: "string" } : ref(this.#dialect, name);
    if (this.#dialect === "v2") return { schema };
    return { content: Object.fromEntries(types.map((type) => [type, { schema }])) };
  }
  #responses(name: string | undefined, produces: readonly string[], codes: readonly Code[]): Json {
    const success = this.#content(name, produces);
    const answers = codes.map((code) => [code, { description: CODES[code], ...success }] as const);
    return { ...Object.fromEntries(answers), "401": { description: "Unauthorized" } };
  }
  #extensions(action: string, { group, version, kind }: { group: string; version: string; kind: string }): Json {
    return { "x-kubernetes-action": action, "x-kubernetes-group-version-kind": { group, kind, version } };
  }
  #identity(
    word: string,
    what: string,
    allNamespaces: boolean,
    infix = "",
    suffix = "",
  ): { readonly id: string; readonly tag: string } {
    const { group, version, kind, namespaced } = this.#definition;
    const scope = namespaced && !allNamespaces ? "Namespaced" : "";
    const all = allNamespaces ? "ForAllNamespaces" : "";
    const id = `${word}${upper(groupWord(group))}${upper(version)}${infix}${scope}${kind}${what}${suffix}${all}`;
    return { id, tag: `${groupWord(group)}_${version}` };
  }
}

function typesOf(verb: Verb, custom: boolean): ValueTypes {
  switch (verb) {
    case "get":
      return custom ? GET : {};
    case "list":
      return WATCH;
    case "create":
    case "update":
      return WRITE;
    case "patch":
      return PATCH;
    case "delete":
      return DELETE;
    default:
      return custom ? WATCH : { ...DELETE, ...LIST };
  }
}

const CODES = { "200": "OK", "201": "Created", "202": "Accepted" } as const;
type Code = keyof typeof CODES;

function codesOf(verb: Verb, custom: boolean): Code[] {
  if (verb === "create") return ["200", "201", "202"];
  if (verb === "delete") return ["200", "202"];
  return verb === "update" || (verb === "patch" && !custom) ? ["200", "201"] : ["200"];
}

/** What an operation does to things of a kind. */
function descriptionOf(
  verb: Verb,
  { kind, custom, verbs }: ResourceDefinition,
  subresource: string | undefined,
): string {
  const plural = kind.endsWith("s") && !kind.endsWith("ss");
  const noun = plural ? kind : `${/^[aeiou]/i.test(kind) ? "an" : "a"} ${kind}`;
  const of = subresource === undefined ? "" : `${subresource} of `;
  switch (verb) {
    case "list":
      return `list ${!custom && verbs.includes("watch") ? "or watch " : ""}${of}objects of kind ${kind}`;
    case "create":
    case "delete":
      return `${verb} ${of}${noun}`;
    case "deletecollection":
      return `delete collection of ${kind}`;
    case "patch":
      return `partially update ${of}the specified ${kind}`;
    default:
      return `${OPERATIONS[verb]?.word ?? verb} ${of}the specified ${kind}`;
  }
}

/** Deletions do without a body. */
const needed = (verb: Verb): Json => (verb.startsWith("delete") ? {} : { required: true });

function bodyParameter(verb: Verb, name: string): Json {
  return {
    in: "body",
    name: "body",
    ...needed(verb),
    schema: ref("v2", name),
  };
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** rbacAuthorization for rbac.authorization.k8s.io. */
export function groupWord(group: string): string {
  const [first = "", ...others] = group.replace(/\.k8s\.io$/, "").split(/[.-]/);
  return group === "" ? "core" : first + others.map(upper).join("");
}
