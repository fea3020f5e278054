import { celEquals } from "../equality.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import {
  ArrayList,
  type CelList,
  Duration,
  isList,
  isMap,
  isStruct,
  Optional,
  Timestamp,
  Uint,
  type Value,
} from "../values.ts";

function isZero(value: Value): boolean {
  if (isList(value)) return value.length === 0;
  if (isMap(value)) return value.size === 0;
  if (isStruct(value)) return [...value.fieldNames()].length === 0;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value instanceof Timestamp || value instanceof Duration) return value.nanos === 0n;
  return value === null || value === "" || value === false || celEquals(value, 0n);
}

function unwrap({ value }: Optional): Value {
  if (value === undefined) throw new CelError("optional.none() dereference");
  return value;
}
function present(list: CelList): ArrayList {
  const items: Value[] = [];
  for (let i = 0; i < list.length; i++) {
    const item = list.at(i);
    if (item instanceof Optional && item.value !== undefined) items.push(item.value);
  }
  return new ArrayList(items);
}

/** Optional values (cel-go's cel.OptionalTypes). */
export const optionalLibrary: readonly Overload[] = [
  declare("optional.of", "(A) -> optional<A>", (value: Value) => new Optional(value)),
  declare(
    "optional.ofNonZeroValue",
    "(A) -> optional<A>",
    (value: Value) => new Optional(isZero(value) ? undefined : value),
  ),
  declare("optional.none", "() -> optional<A>", () => new Optional(undefined)),
  declare("optional.unwrap", "(list<optional<A>>) -> list<A>", (list: CelList) => present(list)),
  declare("unwrapOpt", "list<optional<A>>.() -> list<A>", (list: CelList) => present(list)),
  declare("hasValue", "optional<A>.() -> bool", (optional: Optional) => optional.value !== undefined),
  declare("value", "optional<A>.() -> A", (optional: Optional) => unwrap(optional)),
  declare("or", "optional<A>.(optional<A>) -> optional<A>", (a: Optional, b: Optional) =>
    a.value === undefined ? b : a,
  ),
  declare("orValue", "optional<A>.(A) -> A", (a: Optional, b: Value) => a.value ?? b),
  declare(
    "first",
    "list<A>.() -> optional<A>",
    (list: CelList) => new Optional(list.length > 0 ? list.at(0) : undefined),
  ),
  declare(
    "last",
    "list<A>.() -> optional<A>",
    (list: CelList) => new Optional(list.length > 0 ? list.at(list.length - 1) : undefined),
  ),
];
