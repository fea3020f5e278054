/**
 * A field schema, compiled from the definition tables or from a CustomResourceDefinition: the only place that knows the
 * shape of objects. `pkg/api/schema` builds, compiles and walks it.
 */
export interface FieldSchema {
  readonly type:
    | "object"
    | "array"
    | "map"
    | "string"
    | "integer"
    | "number"
    | "boolean"
    | "any"
    | "int-or-string"
    | "quantity"
    | "time"
    | "micro-time"
    | "bytes";
  readonly format?: string;
  /** Definition name this schema came from, e.g. io.k8s.api.core.v1.PodSpec (absent in CRDs). */
  readonly definition?: string;
  readonly properties?: ReadonlyMap<string, FieldSchema>;
  readonly required?: readonly string[];
  /**
   * Built-in kinds: members that the Go type holds even when it is empty, with their value then, such as {}, "" or null.
   * They are there whether or not JSON shows them.
   */
  readonly emptyMembers?: ReadonlyMap<string, unknown>;
  /** Element of an array or map. */
  readonly items?: FieldSchema;
  readonly nullable?: boolean;
  readonly preserveUnknownFields?: boolean;
  readonly embeddedResource?: boolean;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  /** x-kubernetes-list-type; a list without one is atomic for apply. */
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  readonly mapType?: "atomic" | "granular";
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  /** CRDs only: the raw OpenAPI v3 node, for value validations and CEL rules. */
  readonly raw?: Record<string, unknown>;
}
