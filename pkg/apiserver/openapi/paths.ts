import type { ResourceDefinition, SubresourceDefinition, Verb } from "#pkg/api/index.ts";
import { definitionNameOf } from "#pkg/api/index.ts";
import { type Dialect, type Json, ref } from "./schemas.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PRODUCES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const LIST_PRODUCES = [
  ...PRODUCES,
  "application/json;stream=watch",
  "application/vnd.kubernetes.protobuf;stream=watch",
];
const STRATEGIC = "application/strategic-merge-patch+json";
const PATCHES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  STRATEGIC,
  "application/apply-patch+yaml",
];
/** Custom resources have no protobuf form, neither alone nor in lists. */
const CUSTOM_PRODUCES = PRODUCES.filter((type) => !type.includes("protobuf"));
/** kubectl decides by this how to patch: custom resources know no strategic merge. */
const CUSTOM_PATCHES = PATCHES.filter((type) => type !== STRATEGIC);

type Parameter = readonly [name: string, type: "string" | "integer" | "boolean", about: string];

const PRETTY: Parameter = ["pretty", "string", "If 'true', then the output is pretty printed."];
const DRY_RUN: Parameter = [
  "dryRun",
  "string",
  "When present, indicates that modifications should not be persisted. Valid values are: All.",
];
const FIELD_MANAGER: Parameter = [
  "fieldManager",
  "string",
  "The name of the actor or entity that is making these changes.",
];
const FIELD_VALIDATION: Parameter = [
  "fieldValidation",
  "string",
  "What to do with unknown or duplicate fields: Ignore, Warn or Strict.",
];
const FORCE: Parameter = [
  "force",
  "boolean",
  "Force applies even if fields are owned by somebody else. Apply patches only.",
];
const SELECTORS: readonly Parameter[] = [
  ["labelSelector", "string", "A selector to restrict the list of returned objects by their labels."],
  ["fieldSelector", "string", "A selector to restrict the list of returned objects by their fields."],
];
const LIST: readonly Parameter[] = [
  ["allowWatchBookmarks", "boolean", "Requests watch events of type BOOKMARK."],
  ["continue", "string", "Continues a list that was cut off by limit."],
  ...SELECTORS,
  ["limit", "integer", "The maximum number of items to return for a list call."],
  ["resourceVersion", "string", "Constraint on which resource versions a request may be served from."],
  ["resourceVersionMatch", "string", "How resourceVersion is applied to list calls."],
  ["sendInitialEvents", "boolean", "Begins a watch with the present state, followed by a bookmark."],
  ["timeoutSeconds", "integer", "Limits the duration of the call."],
  ["watch", "boolean", "Watch for changes to the described resources."],
];
const DELETE: readonly Parameter[] = [
  DRY_RUN,
  ["gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."],
  ["orphanDependents", "boolean", "Deprecated: use propagationPolicy."],
  ["propagationPolicy", "string", "Whether and how garbage collection will be performed."],
];

const QUERY: Readonly<Record<Verb, readonly Parameter[]>> = {
  get: [],
  list: LIST,
  watch: LIST,
  create: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
  update: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
  patch: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE],
  delete: DELETE,
  deletecollection: [...DELETE, ...SELECTORS],
};
const METHODS: Readonly<Partial<Record<Verb, string>>> = {
  get: "get",
  list: "get",
  create: "post",
  update: "put",
  patch: "patch",
  delete: "delete",
  deletecollection: "delete",
};
const ACTIONS: Readonly<Partial<Record<Verb, string>>> = {
  create: "post",
  update: "put",
  deletecollection: "deletecollection",
};
const WORDS: Readonly<Partial<Record<Verb, string>>> = {
  get: "read",
  update: "replace",
  deletecollection: "delete collection of",
};
/** What an operation does to things of a kind. */
function descriptionOf(verb: Verb, kind: string, subresource: string | undefined): string {
  const article = /^[AEIOU]/i.test(kind) ? "an" : "a";
  const of = subresource === undefined ? "" : `${subresource} of `;
  switch (verb) {
    case "list":
      return `list ${of}objects of kind ${kind}`;
    case "create":
      return `create ${of}${article} ${kind}`;
    case "delete":
      return `delete ${of}${article} ${kind}`;
    case "deletecollection":
      return `delete collection of ${kind}`;
    case "patch":
      return `partially update ${of}the specified ${kind}`;
    default:
      return `${WORDS[verb] ?? verb} ${of}the specified ${kind}`;
  }
}
const COLLECTION_VERBS: readonly Verb[] = ["list", "create", "deletecollection"];
const OBJECT_VERBS: readonly Verb[] = ["get", "update", "patch", "delete"];

/** Names the definition of a kind in this document. */
export type NameOf = (group: string, version: string, kind: string) => string | undefined;
export const builtinName: NameOf = definitionNameOf;

interface Operation {
  readonly verb: Verb;
  readonly definition: ResourceDefinition;
  readonly subresource?: SubresourceDefinition;
  readonly allNamespaces?: boolean;
}

/** Paths of one resource, its subresources and its collection. */
export function resourcePaths(dialect: Dialect, definition: ResourceDefinition, nameOf: NameOf): Json {
  const { group, version, plural, namespaced } = definition;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = namespaced ? "/namespaces/{namespace}" : "";
  const collection = `${root}${scope}/${plural}`;
  const paths: Json = {};
  const build = new PathBuilder(dialect, nameOf);
  const onCollection = COLLECTION_VERBS.filter((verb) => definition.verbs.includes(verb));
  if (onCollection.length > 0) {
    paths[collection] = build.item(
      onCollection.map((verb) => ({ verb, definition })),
      namespaced ? ["namespace"] : [],
    );
  }
  if (namespaced && definition.verbs.includes("list")) {
    paths[`${root}/${plural}`] = build.item([{ verb: "list", definition, allNamespaces: true }], []);
  }
  const names = namespaced ? ["name", "namespace"] : ["name"];
  const onObject = OBJECT_VERBS.filter((verb) => definition.verbs.includes(verb));
  if (onObject.length > 0) {
    paths[`${collection}/{name}`] = build.item(
      onObject.map((verb) => ({ verb, definition })),
      names,
    );
  }
  for (const subresource of definition.subresources) {
    const verbs = [...subresource.verbs].filter((verb) => METHODS[verb] !== undefined);
    const operations = verbs.map((verb) => ({ verb, definition, subresource }));
    paths[`${collection}/{name}/${subresource.name}`] = build.item(operations, names);
  }
  return paths;
}

class PathBuilder {
  readonly #dialect: Dialect;
  readonly #nameOf: NameOf;

  constructor(dialect: Dialect, nameOf: NameOf) {
    this.#dialect = dialect;
    this.#nameOf = nameOf;
  }
  item(operations: readonly Operation[], pathParameters: readonly string[]): Json {
    const item: Json = {};
    for (const operation of operations) item[METHODS[operation.verb]!] = this.#operation(operation);
    item["parameters"] = [
      ...pathParameters.map((name) => this.#parameter("path", name, "string", `${name} of the object`)),
      this.#query(PRETTY),
    ];
    return item;
  }

  #operation(operation: Operation): Json {
    const { verb, definition, subresource } = operation;
    const group = subresource?.group ?? definition.group;
    const version = subresource?.version ?? definition.version;
    const kind = subresource?.kind ?? definition.kind;
    const bodyless = verb === "get" || verb === "list";
    const body = bodyless ? undefined : this.#bodyName(verb, group, version, kind);
    const parameters = QUERY[verb].map((parameter) => this.#query(parameter));
    const answer = this.#answerName(verb, group, version, kind, subresource);
    const v2 = this.#dialect === "v2";
    if (v2 && body !== undefined) parameters.unshift(bodyParameter(verb, body));
    const produces = producedBy(operation);
    const success = { description: "OK", ...this.#content(answer, produces) };
    const about = descriptionOf(verb, definition.kind, subresource?.name);
    return {
      description: about,
      tags: [tagOf(definition)],
      operationId: operationId(operation),
      ...(v2
        ? {
            consumes: verb === "patch" ? patchesOf(definition) : ["*/*"],
            produces,
            schemes: ["https"],
          }
        : {}),
      ...(parameters.length === 0 ? {} : { parameters }),
      ...(!v2 && body !== undefined ? { requestBody: requestBody(verb, body, definition) } : {}),
      responses: {
        "200": success,
        ...(verb === "create" || verb === "update" || verb === "patch"
          ? { "201": { ...success, description: "Created" } }
          : {}),
        ...(verb === "create" || verb === "delete" ? { "202": { ...success, description: "Accepted" } } : {}),
        "401": { description: "Unauthorized" },
      },
      "x-kubernetes-action": ACTIONS[verb] ?? verb,
      "x-kubernetes-group-version-kind": { group, kind, version },
    };
  }
  #bodyName(verb: Verb, group: string, version: string, kind: string): string | undefined {
    if (verb === "patch") return `${META}.Patch`;
    if (verb === "delete" || verb === "deletecollection") return `${META}.DeleteOptions`;
    return this.#nameOf(group, version, kind);
  }
  #answerName(
    verb: Verb,
    group: string,
    version: string,
    kind: string,
    subresource: SubresourceDefinition | undefined,
  ): string | undefined {
    if (verb === "delete" || verb === "deletecollection") return `${META}.Status`;
    if (verb === "list" && subresource === undefined) return this.#nameOf(group, version, `${kind}List`);
    return this.#nameOf(group, version, kind);
  }
  #content(name: string | undefined, types: readonly string[]): Json {
    const schema = name === undefined ? { type: "string" } : ref(this.#dialect, name);
    if (this.#dialect === "v2") return { schema };
    return { content: Object.fromEntries(types.map((type) => [type, { schema }])) };
  }
  #query([name, type, about]: Parameter): Json {
    return this.#parameter("query", name, type, about);
  }
  #parameter(place: "path" | "query", name: string, type: string, description: string): Json {
    const required = place === "path" ? { required: true } : {};
    const shape = this.#dialect === "v2" ? { type, uniqueItems: true } : { schema: { type, uniqueItems: true } };
    return { description, in: place, name, ...required, ...shape };
  }
}

function bodyParameter(verb: Verb, name: string): Json {
  return {
    in: "body",
    name: "body",
    ...(verb.startsWith("delete") ? {} : { required: true }),
    schema: ref("v2", name),
  };
}

function producedBy({ verb, definition }: Operation): readonly string[] {
  if (definition.custom) return CUSTOM_PRODUCES;
  return verb === "list" ? LIST_PRODUCES : PRODUCES;
}

function patchesOf({ custom }: ResourceDefinition): readonly string[] {
  return custom ? CUSTOM_PATCHES : PATCHES;
}

function requestBody(verb: Verb, name: string, definition: ResourceDefinition): Json {
  const types = verb === "patch" ? patchesOf(definition) : ["*/*"];
  return { content: Object.fromEntries(types.map((type) => [type, { schema: ref("v3", name) }])) };
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** rbacAuthorization for rbac.authorization.k8s.io. */
export function groupWord(group: string): string {
  const [first = "", ...others] = group.replace(/\.k8s\.io$/, "").split(/[.-]/);
  return group === "" ? "core" : first + others.map(upper).join("");
}

function tagOf(definition: ResourceDefinition): string {
  return `${groupWord(definition.group)}_${definition.version}`;
}

function operationId({ verb, definition, subresource, allNamespaces }: Operation): string {
  const { namespaced, kind, version } = definition;
  const many = verb === "deletecollection";
  const word = many
    ? "delete"
    : (WORDS[verb] ?? verb).replaceAll(/ (\w)/g, (_match, letter: string) => letter.toUpperCase());
  const names = upper(groupWord(definition.group));
  const scope = namespaced && allNamespaces !== true ? "Namespaced" : "";
  const sub = subresource === undefined ? "" : upper(subresource.name);
  return `${word}${names}${upper(version)}${many ? "Collection" : ""}${scope}${kind}${sub}${allNamespaces === true ? "ForAllNamespaces" : ""}`;
}
