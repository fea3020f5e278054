/** Expressions after parsing; macros are already nodes of their own. `at` is the offset of what names the node. */
export type Expr =
  | { readonly kind: "const"; readonly at: number; readonly value: ConstValue }
  | { readonly kind: "ident"; readonly at: number; readonly name: string }
  | {
      readonly kind: "select";
      readonly at: number;
      readonly operand: Expr;
      readonly field: string;
      readonly optional: boolean;
    }
  /** has(operand.field) */
  | { readonly kind: "test"; readonly at: number; readonly operand: Expr; readonly field: string }
  | {
      readonly kind: "call";
      readonly at: number;
      readonly name: string;
      readonly target: Expr | undefined;
      readonly args: readonly Expr[];
    }
  | {
      readonly kind: "list";
      readonly at: number;
      readonly items: readonly { readonly value: Expr; readonly optional: boolean }[];
    }
  | { readonly kind: "map"; readonly at: number; readonly entries: readonly MapEntry[] }
  | { readonly kind: "struct"; readonly at: number; readonly name: string; readonly fields: readonly StructEntry[] }
  | Comprehension
  | {
      readonly kind: "optMap";
      readonly at: number;
      readonly flat: boolean;
      readonly name: string;
      readonly target: Expr;
      readonly body: Expr;
    };

export interface MapEntry {
  readonly key: Expr;
  readonly value: Expr;
  readonly optional: boolean;
}
export interface StructEntry {
  readonly at: number;
  readonly name: string;
  readonly value: Expr;
  readonly optional: boolean;
}

export type Macro =
  | "all"
  | "exists"
  | "existsOne"
  | "map"
  | "filter"
  | "transformList"
  | "transformMap"
  | "transformMapEntry"
  | "sortBy";

export interface Comprehension {
  readonly kind: "comprehension";
  readonly at: number;
  readonly macro: Macro;
  readonly range: Expr;
  /** One variable (element, or key of a map), or two (index and element, or key and value). */
  readonly variables: readonly [string] | readonly [string, string];
  /** Predicate of all, exists…; absent where nothing is filtered. */
  readonly filter: Expr | undefined;
  /** What map and the transforms make of each element. */
  readonly transform: Expr | undefined;
}

export type ConstValue =
  | { readonly type: "int"; readonly value: bigint }
  | { readonly type: "uint"; readonly value: bigint }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "bytes"; readonly value: Uint8Array }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "null"; readonly value: null };

export function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case "const":
    case "ident":
      return [];
    case "select":
    case "test":
      return [expr.operand];
    case "call":
      return expr.target === undefined ? expr.args : [expr.target, ...expr.args];
    case "list":
      return expr.items.map(({ value }) => value);
    case "map":
      return expr.entries.flatMap(({ key, value }) => [key, value]);
    case "struct":
      return expr.fields.map(({ value }) => value);
    case "comprehension":
      return [expr.range, expr.filter, expr.transform].filter((child) => child !== undefined);
    case "optMap":
      return [expr.target, expr.body];
  }
}
