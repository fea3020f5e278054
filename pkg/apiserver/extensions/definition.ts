import { createHash } from "node:crypto";
import { hasKnownOwner, prune, rootSchema } from "#pkg/api/index.ts";
import type { ResourceDefinition, Strategy, SubresourceDefinition, Verb } from "#pkg/api/index.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
  CustomResourceSubresources,
} from "#pkg/api/types/apiextensions-v1.ts";
import { apiVersionOf, deepCopy, type FieldError, fieldInvalid, type KubeObject } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { customColumns } from "./columns.ts";
import { compileSchemaDefaults } from "./defaulting.ts";
import { validateEmbedded } from "./embedded.ts";
import { compileJsonPath } from "./json-path.ts";
import type { Judgement } from "./rule-evaluation.ts";
import { compileRules } from "./rules.ts";
import { compileValues } from "./value-validation.ts";

const VERBS: readonly Verb[] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const VERBS_OF_GOING: readonly Verb[] = ["delete", "deletecollection", "get", "list", "watch"];
const GOING = "create not allowed while custom resource definition is terminating";
const VIEW_VERBS: readonly Verb[] = ["get", "patch", "update"];

/** One served version of a custom resource as the registry knows it. */
export function customResource(
  crd: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
): ResourceDefinition {
  const { group, names, scope } = crd.spec;
  const raw = (version.schema?.openAPIV3Schema ?? {}) as Record<string, unknown>;
  const schema = rootSchema(raw);
  const validate = validatorOf(schema, raw, version.subresources?.scale);
  const applySchemaDefaults = compileSchemaDefaults(schema);
  // Compiled when it is first asked for, by apply or a webhook's patch: a cluster has hundreds of definitions.
  let fillDefaults: ((object: KubeObject) => void) | undefined;
  const going = crd.metadata.deletionTimestamp !== undefined;
  const apiVersion = apiVersionOf({ group, version: version.name });
  const own: StoredForm = { schema, applyDefaults: applySchemaDefaults };
  const forms = new Map([[apiVersion, own]]);
  const complete = (object: KubeObject): KubeObject => {
    const stored = storedForm(crd, object.apiVersion ?? "", forms) ?? own;
    prune(stored.schema, object);
    stored.applyDefaults(object);
    return object;
  };
  const storageVersion = crd.spec.versions.find(({ storage }) => storage)?.name ?? version.name;
  const { columns, printRow } = customColumns(version.additionalPrinterColumns);
  const hash = createHash("sha256").update(`${group}/${storageVersion}/${names.kind}`).digest().subarray(0, 8);
  return {
    group,
    version: version.name,
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: scope === "Namespaced",
    verbs: VERBS,
    ...(going ? { shownVerbs: VERBS_OF_GOING } : {}),
    storageVersionHash: hash.toString("base64"),
    storage: { group, version: storageVersion },
    etcdPrefix: `${group}/${names.plural}`,
    schema,
    strategy: { ...strategyOf(validate), ...(going ? { refusesNew: GOING } : {}) },
    subresources: subresourcesOf(names.kind, version.subresources, validate),
    selectableFields: new Map(
      (version.selectableFields ?? []).map(({ jsonPath }) => [jsonPath.replace(/^\./, ""), selectable(jsonPath)]),
    ),
    columns,
    printRow,
    applyDefaults(object, keepsNulls) {
      if (keepsNulls === true) (fillDefaults ??= compileSchemaDefaults(schema, true))(object);
      else applySchemaDefaults(object);
    },
    readStored: (object) => complete(deepCopy(object) as KubeObject),
    fromStorage: (object) => {
      const copy = complete(deepCopy(object) as KubeObject);
      if (copy.apiVersion !== apiVersion) prune(schema, copy);
      return copy;
    },
    fromConverted: (object) => {
      prune(schema, object);
      return object;
    },
    ...(version.deprecated === true
      ? { deprecationWarning: version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated` }
      : {}),
    custom: true,
  };
}

/** What a version says of the objects stored in it. */
interface StoredForm {
  readonly schema: FieldSchema;
  applyDefaults(object: KubeObject): void;
}

/**
 * What is stored may be older than the schema: it is brought into the form of its own version whenever it is read. The
 * version it is read in adds no defaults. `forms` keeps what has been compiled.
 */
function storedForm(
  crd: CustomResourceDefinition,
  apiVersion: string,
  forms: Map<string, StoredForm>,
): StoredForm | undefined {
  const known = forms.get(apiVersion);
  if (known !== undefined) return known;
  const version = crd.spec.versions.find(
    ({ name }) => apiVersionOf({ group: crd.spec.group, version: name }) === apiVersion,
  );
  if (version === undefined) return undefined; // no longer defined
  const schema = rootSchema((version.schema?.openAPIV3Schema ?? {}) as Record<string, unknown>);
  const form = { schema, applyDefaults: compileSchemaDefaults(schema) };
  forms.set(apiVersion, form);
  return form;
}

function selectable(jsonPath: string): (object: Readonly<KubeObject>) => string {
  const find = compileJsonPath(jsonPath);
  return (object) => {
    const [value] = find(object);
    return value === undefined || value === null ? "" : String(value);
  };
}

function strategyOf(validate: Validator): Strategy {
  const update = ratchetedUpdate(validate);
  return {
    validate: (object) => validate(object, undefined).errors,
    validateUpdate: update.validateUpdate,
    warnings: (object, old) => [...update.warnings(object), ...unqualifiedFinalizers(object, old)],
    allowUnconditionalUpdate: false,
    // Custom resources have always been left to the owner's garbage collection.
    defaultGarbageCollection: "background",
  };
}

/** What has been wrong before is told beside the answer, once the update is found to be valid. */
function ratchetedUpdate(validate: Validator) {
  const found = new WeakMap<KubeObject, readonly string[]>();
  return {
    validateUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
      const { errors, warnings } = validate(object, old);
      if (warnings.length > 0) found.set(object, warnings);
      return errors;
    },
    warnings: (object: KubeObject): string[] => [...(found.get(object) ?? [])],
  };
}

/** Warns of new finalizers that another writer may hit upon, too. */
function unqualifiedFinalizers({ metadata }: KubeObject, old: Readonly<KubeObject> | undefined): string[] {
  const before = old?.metadata.finalizers ?? [];
  const advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers";
  return (metadata.finalizers ?? [])
    .filter((finalizer) => !hasKnownOwner(finalizer) && !before.includes(finalizer))
    .map((finalizer) => `metadata.finalizers: ${JSON.stringify(finalizer)}: ${advice}`);
}

type Validator = (object: KubeObject, old: Readonly<KubeObject> | undefined) => Judgement;

/**
 * Everything a schema says about values: types, bounds, CEL rules. Compiled when the first object comes: most of a
 * cluster's hundreds of definitions have none, or none that change.
 */
function validatorOf(schema: FieldSchema, raw: Record<string, unknown>, scale: Scale | undefined): Validator {
  let compiled: Validator | undefined;
  return (object, old) => {
    const judged = (compiled ??= compileValidator(schema, raw))(object, old);
    return scale === undefined ? judged : { ...judged, errors: [...judged.errors, ...scaleErrors(object, scale)] };
  };
}

type Scale = NonNullable<CustomResourceSubresources["scale"]>;
const MAX_REPLICAS = 2 ** 31 - 1;

/** Numbers that a Scale could not show. */
function scaleErrors(object: KubeObject, { specReplicasPath, statusReplicasPath }: Scale): FieldError[] {
  return [specReplicasPath, statusReplicasPath].flatMap((path) => {
    const [replicas] = compileJsonPath(path)(object);
    if (typeof replicas !== "number") return [];
    if (replicas < 0) return [fieldInvalid(path, replicas, "should be a non-negative integer")];
    if (replicas <= MAX_REPLICAS) return [];
    return [fieldInvalid(path, replicas, `should be less than or equal to ${MAX_REPLICAS}`)];
  });
}

function compileValidator(schema: FieldSchema, raw: Record<string, unknown>): Validator {
  const values = compileValues(withoutMetadata(raw));
  const rules = compileRules(schema, "");
  return (object, old) => {
    const errors = [...values(object, "", old), ...validateEmbedded(schema, object)];
    // Rules are written for values of the right shape.
    if (errors.some(({ type }) => BLOCKING.has(type)))
      return { errors: rules.any ? [...errors, UNCHECKED] : errors, warnings: [] };
    const judged = rules.validate(object, old);
    return { ...judged, errors: [...errors, ...judged.errors] };
  };
}

/** Errors after which rules could not make sense of the data. */
const BLOCKING = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);
const UNCHECKED = fieldInvalid(
  "<nil>",
  null,
  "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
);

/** Metadata is judged by the rules of all objects; a schema may only bound the name. */
function withoutMetadata(raw: Record<string, unknown>): Record<string, unknown> {
  const properties = raw["properties"] as Record<string, unknown> | undefined;
  const metadata = properties?.["metadata"] as { properties?: Record<string, unknown> } | undefined;
  if (metadata === undefined) return raw;
  const { name, generateName } = metadata.properties ?? {};
  const bounded = { ...(name === undefined ? {} : { name }), ...(generateName === undefined ? {} : { generateName }) };
  return { ...raw, properties: { ...properties, metadata: { type: "object", properties: bounded } } };
}

function subresourcesOf(
  kind: string,
  subresources: CustomResourceSubresources | undefined,
  validate: Validator,
): SubresourceDefinition[] {
  const served: SubresourceDefinition[] = [];
  if (subresources?.status !== undefined) {
    served.push({
      name: "status",
      kind,
      verbs: VIEW_VERBS,
      implementation: { type: "status", strategy: ratchetedUpdate(validate) },
    });
  }
  if (subresources?.scale !== undefined) {
    const { specReplicasPath, statusReplicasPath, labelSelectorPath } = subresources.scale;
    served.push({
      name: "scale",
      kind: "Scale",
      group: "autoscaling",
      version: "v1",
      verbs: VIEW_VERBS,
      implementation: {
        type: "scale",
        specReplicasPath,
        statusReplicasPath,
        ...(labelSelectorPath === undefined || labelSelectorPath === "" ? {} : { labelSelectorPath }),
      },
    });
  }
  return served;
}
