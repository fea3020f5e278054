/** Type checking: gives every node a type, names their variables, and narrows calls to the overloads that fit. */
import type { Comprehension, Expr } from "./ast.ts";
import { CelCompileError, inOrder, type Issue } from "./errors.ts";
import type { FunctionTable, Overload } from "./functions.ts";
import { COMPARABLE } from "./lib/list-operations.ts";
import { typeName } from "./parser.ts";
import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  ERROR,
  FREE,
  INT,
  isAssignable,
  joinTypes,
  listOf,
  mapOf,
  NULL,
  optionalOf,
  showType,
  STRING,
  substitute,
  TIMESTAMP,
  UINT,
} from "./types.ts";

export interface CheckEnvironment {
  readonly variables: ReadonlyMap<string, CelType>;
  readonly functions: FunctionTable;
  /** Types of struct literals by name. */
  readonly objectType?: (name: string) => CelType | undefined;
  readonly container: string;
}

export interface Checked {
  readonly type: CelType;
  readonly types: ReadonlyMap<Expr, CelType>;
  readonly calls: ReadonlyMap<Expr, ResolvedCall>;
  /** Nodes that read a variable: identifiers, and selections that spell a qualified name. */
  readonly variables: ReadonlyMap<Expr, string>;
  /** Nodes that name a type. */
  readonly typeNames: ReadonlyMap<Expr, string>;
}
export interface ResolvedCall {
  readonly overloads: readonly Overload[];
  /** The receiver, if it is a value and not part of the function's name, and the arguments. */
  readonly args: readonly Expr[];
}

const TYPE_NAMES: Readonly<Record<string, CelType>> = {
  int: INT,
  uint: UINT,
  double: DOUBLE,
  bool: BOOL,
  string: STRING,
  bytes: BYTES,
  list: listOf(DYN),
  map: mapOf(DYN, DYN),
  null_type: NULL,
  type: { kind: "type", of: DYN },
  optional_type: optionalOf(DYN),
  "google.protobuf.Timestamp": TIMESTAMP,
  "google.protobuf.Duration": DURATION,
};

export function checkCel(source: string, expr: Expr, environment: CheckEnvironment): Checked {
  const checker = new Checker(environment);
  const type = checker.check(expr);
  if (checker.issues.length > 0) {
    throw new CelCompileError(source, inOrder(checker.issues));
  }
  return {
    type,
    types: checker.types,
    calls: checker.calls,
    variables: checker.variables,
    typeNames: checker.typeNames,
  };
}

class Checker {
  readonly #env: CheckEnvironment;
  /** Variables of comprehensions and binds around the node, innermost last. */
  readonly #locals: { name: string; type: CelType }[] = [];
  readonly issues: Issue[] = [];
  readonly types = new Map<Expr, CelType>();
  readonly calls = new Map<Expr, ResolvedCall>();
  readonly variables = new Map<Expr, string>();
  readonly typeNames = new Map<Expr, string>();

  constructor(environment: CheckEnvironment) {
    this.#env = environment;
  }

  check(expr: Expr): CelType {
    const type = this.#infer(expr);
    this.types.set(expr, type);
    return type;
  }

  #fail(at: number, message: string): CelType {
    this.issues.push({ offset: at, message });
    return ERROR;
  }

  #infer(expr: Expr): CelType {
    switch (expr.kind) {
      case "const":
        return { kind: expr.value.type } as CelType;
      case "ident":
        return this.#ident(expr);
      case "select":
        return this.#qualified(expr) ?? this.#select(expr.operand, expr.field, expr.at, expr.optional);
      case "test":
        if (this.#isQualifiedVariable(expr)) return BOOL;
        this.#select(expr.operand, expr.field, expr.at, false);
        return BOOL;
      case "call":
        return this.#call(expr);
      case "list":
        return listOf(this.#elements(expr.items));
      case "map": {
        const key = this.#elements(expr.entries.map((entry) => ({ value: entry.key, optional: false })));
        return mapOf(key, this.#elements(expr.entries));
      }
      case "struct":
        return this.#struct(expr);
      case "comprehension":
        return this.#comprehension(expr);
      case "optMap":
        return this.#optMap(expr);
    }
  }

  #with(locals: { name: string; type: CelType }[], body: () => CelType): CelType {
    this.#locals.push(...locals);
    const type = body();
    this.#locals.length -= locals.length;
    return type;
  }

  #local(name: string): CelType | undefined {
    return this.#locals.findLast((local) => local.name === name)?.type;
  }

  #lookup(name: string): { name: string; type: CelType } | undefined {
    if (name.startsWith(".")) {
      const type = this.#env.variables.get(name.slice(1));
      return type === undefined ? undefined : { name: name.slice(1), type };
    }
    const { container } = this.#env;
    const prefixes =
      container === "" ? [] : container.split(".").map((_, i, parts) => parts.slice(0, parts.length - i).join("."));
    for (const prefix of [...prefixes.map((part) => `${part}.`), ""]) {
      const type = this.#env.variables.get(prefix + name);
      if (type !== undefined) return { name: prefix + name, type };
    }
    return undefined;
  }

  #ident(expr: Expr & { kind: "ident" }): CelType {
    const local = this.#local(expr.name);
    if (local !== undefined) {
      this.variables.set(expr, expr.name);
      return local;
    }
    const known = this.#lookup(expr.name);
    if (known !== undefined) {
      this.variables.set(expr, `.${known.name}`);
      return known.type;
    }
    return (
      this.#typeName(expr, expr.name) ??
      this.#fail(expr.at, `undeclared reference to '${expr.name}' (in container '${this.#env.container}')`)
    );
  }

  #typeName(expr: Expr, name: string): CelType | undefined {
    if (!Object.hasOwn(TYPE_NAMES, name)) return undefined;
    this.typeNames.set(expr, name);
    return { kind: "type", of: TYPE_NAMES[name]! };
  }

  /** `a.b` may be one variable's name, or a type's; names of locals hide both. */
  #qualified(expr: Expr): CelType | undefined {
    const name = typeName(expr);
    if (name === undefined || this.#local(name.split(".")[0]!) !== undefined) return undefined;
    const known = this.#lookup(name);
    if (known !== undefined) {
      this.variables.set(expr, `.${known.name}`);
      return known.type;
    }
    return this.#typeName(expr, name);
  }

  /** has(a.b) where `a.b` is a variable's own name: it is there when it is bound. */
  #isQualifiedVariable(expr: Expr & { kind: "test" }): boolean {
    const operand = typeName(expr.operand);
    if (operand === undefined || this.#local(operand.split(".")[0]!) !== undefined) return false;
    const known = this.#lookup(`${operand}.${expr.field}`);
    if (known !== undefined) this.variables.set(expr, `.${known.name}`);
    return known !== undefined;
  }

  #select(operand: Expr, field: string, at: number, optional: boolean): CelType {
    const type = this.check(operand);
    if (type.kind === "optional") return optionalOf(unwrapOptional(this.#fieldType(type.element, field, at)));
    const found = this.#fieldType(type, field, at);
    return optional ? optionalOf(unwrapOptional(found)) : found;
  }
  #fieldType(type: CelType, field: string, at: number): CelType {
    switch (type.kind) {
      case "dyn":
      case "param":
      case "error":
        return type.kind === "error" ? ERROR : DYN;
      case "map":
        return type.value.kind === "param" ? DYN : type.value;
      case "object":
        return type.field(field) ?? this.#fail(at, `undefined field '${field}'`);
      default:
        return this.#fail(at, `type '${showType(type)}' does not support field selection`);
    }
  }

  #elements(items: readonly { readonly value: Expr; readonly optional: boolean }[]): CelType {
    let joined: CelType | undefined;
    for (const { value, optional } of items) {
      let type = this.check(value);
      if (optional) {
        if (type.kind !== "optional" && type.kind !== "dyn") {
          type = this.#fail(value.at, `expected type 'optional_type(${showType(type)})' but found '${showType(type)}'`);
        } else type = unwrapOptional(type);
      }
      joined = joined === undefined ? type : joinTypes(joined, type);
    }
    return joined ?? FREE;
  }

  #struct(expr: Expr & { kind: "struct" }): CelType {
    const type = this.#env.objectType?.(expr.name);
    if (type?.kind !== "object") {
      for (const { value } of expr.fields) this.check(value);
      return this.#fail(expr.at, `undeclared reference to '${expr.name}' (in container '${this.#env.container}')`);
    }
    for (const { at, name, value, optional } of expr.fields) {
      const given = this.check(value);
      const wanted = type.field(name);
      if (wanted === undefined) this.#fail(at, `undefined field '${name}'`);
      else if (!isAssignable(optional ? unwrapOptional(given) : given, wanted, new Map())) {
        this.#fail(
          at,
          `expected type of field '${name}' is '${showType(wanted)}' but provided type is '${showType(given)}'`,
        );
      }
    }
    return type;
  }

  #expectBool(expr: Expr): void {
    const type = this.check(expr);
    if (!isAssignable(type, BOOL, new Map())) this.#fail(expr.at, `expected type 'bool' but found '${showType(type)}'`);
  }

  #comprehension(expr: Comprehension): CelType {
    const range = this.check(expr.range);
    const types = this.#rangeTypes(range, expr);
    const locals = expr.variables.map((name, i) => ({ name: name!, type: types[i]! }));
    return this.#with(locals, () => {
      if (expr.filter !== undefined) this.#expectBool(expr.filter);
      const made = expr.transform === undefined ? undefined : this.check(expr.transform);
      switch (expr.macro) {
        case "all":
        case "exists":
        case "existsOne":
          return BOOL;
        case "filter":
          return range.kind === "map" ? listOf(range.key) : range.kind === "list" ? range : DYN;
        case "sortBy":
          return this.#sortBy(range, made!, expr.at);
        case "map":
        case "transformList":
          return listOf(made!);
        case "transformMap":
          return mapOf(types[0]!, made!);
        case "transformMapEntry":
          if (made!.kind === "map" || made!.kind === "dyn") return made!;
          return this.#fail(expr.at, `expected type 'map(dyn, dyn)' but found '${showType(made!)}'`);
      }
    });
  }

  #sortBy(range: CelType, key: CelType, at: number): CelType {
    if (key.kind === "error" || key.kind === "dyn" || COMPARABLE.includes(key.kind)) return range;
    return this.#noOverload("@sortByAssociatedKeys", range, [listOf(key)], at);
  }

  #rangeTypes(range: CelType, expr: Comprehension): readonly CelType[] {
    const two = expr.variables.length === 2;
    const open = (type: CelType): CelType => (type.kind === "param" ? DYN : type);
    switch (range.kind) {
      case "list":
        return two ? [INT, open(range.element)] : [open(range.element)];
      case "map":
        return two ? [open(range.key), open(range.value)] : [open(range.key)];
      case "dyn":
      case "param":
      case "error":
        return [DYN, DYN];
      default:
        this.#fail(
          expr.range.at,
          `expression of type '${showType(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
        );
        return [ERROR, ERROR];
    }
  }

  #optMap(expr: Expr & { kind: "optMap" }): CelType {
    const target = this.check(expr.target);
    if (target.kind !== "optional" && target.kind !== "dyn" && target.kind !== "error") {
      this.#fail(
        expr.at,
        `found no matching overload for '${expr.flat ? "optFlatMap" : "optMap"}' applied to '${showType(target)}'`,
      );
    }
    return this.#with([{ name: expr.name, type: unwrapOptional(target) }], () => {
      const body = this.check(expr.body);
      return expr.flat ? body : optionalOf(body);
    });
  }

  #call(expr: Expr & { kind: "call" }): CelType {
    const { name, target, args, at } = expr;
    if (name === "_&&_" || name === "_||_") return this.#logical(expr);
    if (name === "_[_]" || name === "_[?_]") return this.#index(expr);
    if (name === "_?_:_") {
      const types = args.map((arg) => this.check(arg));
      const bindings = new Map<string, CelType>();
      if (!isAssignable(types[0]!, BOOL, bindings)) return this.#noOverload(name, undefined, types, at);
      const joined = joinTypes(types[1]!, types[2]!);
      if (joined.kind === "dyn" && types[1]!.kind !== "dyn" && types[2]!.kind !== "dyn")
        return this.#noOverload(name, undefined, types, at);
      return joined;
    }
    const prefix = target === undefined ? undefined : typeName(target);
    const namespaced =
      prefix === undefined || this.#local(prefix.split(".")[0]!) !== undefined
        ? undefined
        : this.#env.functions.get(`${prefix}.${name}`);
    if (namespaced !== undefined) return this.#resolve(expr, `${prefix}.${name}`, namespaced, undefined, args);
    const overloads = this.#env.functions.get(name.replace(/^\./, ""));
    if (overloads === undefined) {
      if (target !== undefined) this.check(target);
      for (const arg of args) this.check(arg);
      return this.#fail(at, `undeclared reference to '${name}' (in container '${this.#env.container}')`);
    }
    return this.#resolve(expr, name, overloads, target, args);
  }

  #logical(expr: Expr & { kind: "call" }): CelType {
    for (const arg of expr.args) this.#expectBool(arg);
    return BOOL;
  }

  #index(expr: Expr & { kind: "call" }): CelType {
    const [operand, index] = expr.args.map((arg) => this.check(arg)) as [CelType, CelType];
    const optional = expr.name === "_[?_]";
    const inner = operand.kind === "optional" ? operand.element : operand;
    let element: CelType;
    if (inner.kind === "list") {
      if (!isAssignable(index, INT, new Map()))
        return this.#noOverload(expr.name, undefined, [operand, index], expr.at);
      element = inner.element;
    } else if (inner.kind === "map") {
      if (!isAssignable(index, inner.key, new Map())) {
        return this.#noOverload(expr.name, undefined, [operand, index], expr.at);
      }
      element = inner.value;
    } else if (inner.kind === "dyn" || inner.kind === "error" || inner.kind === "param")
      element = inner.kind === "error" ? ERROR : DYN;
    else return this.#noOverload(expr.name, undefined, [operand, index], expr.at);
    if (element.kind === "param") element = DYN;
    return optional || operand.kind === "optional" ? optionalOf(unwrapOptional(element)) : element;
  }

  #resolve(
    expr: Expr,
    name: string,
    overloads: readonly Overload[],
    target: Expr | undefined,
    args: readonly Expr[],
  ): CelType {
    const all = target === undefined ? args : [target, ...args];
    const types = all.map((arg) => this.check(arg));
    if (types.some((type) => type.kind === "error")) return ERROR;
    const fitting: Overload[] = [];
    let result: CelType | undefined;
    for (const overload of overloads) {
      if (overload.member !== (target !== undefined) || overload.params.length !== all.length) continue;
      const bindings = new Map<string, CelType>();
      if (!types.every((type, i) => isAssignable(type, overload.params[i]!, bindings))) continue;
      fitting.push(overload);
      const type = substitute(overload.result, bindings);
      result = result === undefined ? type : joinTypes(result, type);
    }
    if (result === undefined)
      return this.#noOverload(
        name,
        target === undefined ? undefined : types[0],
        target === undefined ? types : types.slice(1),
        (expr as { at: number }).at,
      );
    this.calls.set(expr, { overloads: fitting, args: all });
    return result;
  }

  #noOverload(name: string, receiver: CelType | undefined, types: readonly CelType[], at: number): CelType {
    if ([...types, ...(receiver === undefined ? [] : [receiver])].some((type) => type.kind === "error")) return ERROR;
    const list = `(${types.map(showType).join(", ")})`;
    return this.#fail(
      at,
      `found no matching overload for '${name}' applied to '${receiver === undefined ? list : `${showType(receiver)}.${list}`}'`,
    );
  }
}

const unwrapOptional = (type: CelType): CelType => (type.kind === "optional" ? type.element : type);
