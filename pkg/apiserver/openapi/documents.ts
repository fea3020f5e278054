import { groupWord } from "./paths.ts";
import { type Dialect, type Json, ref } from "./schemas.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info";
const JSON_ONLY = ["application/json"];
const NEGOTIATED = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/** A path that is read alone: discovery, and what the server says of itself. */
export interface ServerDocument {
  /** Of its own document in version 3. */
  readonly name: string;
  readonly operationId: string;
  readonly description: string;
  readonly tag: string;
  readonly types: readonly string[];
  /** What it answers; a text without. */
  readonly definition?: string;
}

/** What there is beside the resources of the groups given ("" is the core group). */
export function serverDocuments(groups: readonly string[]): ServerDocument[] {
  return [
    {
      name: ".well-known/openid-configuration",
      operationId: "getServiceAccountIssuerOpenIDConfiguration",
      description: "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
      tag: "WellKnown",
      types: JSON_ONLY,
    },
    {
      name: "api",
      operationId: "getCoreAPIVersions",
      description: "get available API versions",
      tag: "core",
      types: NEGOTIATED,
      definition: `${META}.APIVersions`,
    },
    {
      name: "apis",
      operationId: "getAPIVersions",
      description: "get available API versions",
      tag: "apis",
      types: NEGOTIATED,
      definition: `${META}.APIGroupList`,
    },
    ...groups.filter((group) => group !== "").map(groupDocument),
    {
      name: "openid/v1/jwks",
      operationId: "getServiceAccountIssuerOpenIDKeyset",
      description: "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
      tag: "openid",
      types: ["application/jwk-set+json"],
    },
    {
      name: "version",
      operationId: "getCodeVersion",
      description: "get the version information for this server",
      tag: "version",
      types: JSON_ONLY,
      definition: VERSION_INFO,
    },
  ];
}

const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function groupDocument(group: string): ServerDocument {
  const word = groupWord(group);
  return {
    name: `apis/${group}`,
    operationId: `get${upper(word)}APIGroup`,
    description: "get information of a group",
    tag: word,
    types: NEGOTIATED,
    definition: `${META}.APIGroup`,
  };
}

/** The list of a group version's resources. */
export function resourceListDocument({
  group,
  version,
}: {
  readonly group: string;
  readonly version: string;
}): ServerDocument {
  const word = groupWord(group);
  return {
    name: group === "" ? `api/${version}` : `apis/${group}/${version}`,
    operationId: `get${upper(word)}${upper(version)}APIResources`,
    description: "get available resources",
    tag: `${word}_${version}`,
    types: NEGOTIATED,
    definition: `${META}.APIResourceList`,
  };
}

/** Path and operation of such a document. */
export function documentPath(dialect: Dialect, document: ServerDocument): Json {
  const { name, operationId, description, tag, types, definition } = document;
  const schema = definition === undefined ? { type: "string" } : ref(dialect, definition);
  const v2 = dialect === "v2";
  const success = v2 ? { schema } : { content: Object.fromEntries(types.map((type) => [type, { schema }])) };
  return {
    [`/${name}/`]: {
      get: {
        description,
        tags: [tag],
        operationId,
        ...(v2 ? { consumes: types, produces: types, schemes: ["https"] } : {}),
        responses: { "200": { description: "OK", ...success }, "401": { description: "Unauthorized" } },
      },
    },
  };
}
