import type { Comprehension } from "./ast.ts";
import { CelError, noSuchOverload } from "./errors.ts";
import { LIST_COST, sortByKeys } from "./lib/list-operations.ts";
import { addEntry, asBool, type Frame, type Planner, type Step } from "./plan.ts";
import { ArrayList, EntryMap, isList, isMap, isStruct, type Value } from "./values.ts";

/** What one round costs beside the expressions of the macro: reading the accumulator, testing and joining. */
const LOOP_COST = 3;
const APPEND_COST = 12;

/** Visits (key or index, element) pairs; stops when `visit` returns false. */
function forEach(range: Value, visit: (key: Value, value: Value) => boolean): void {
  if (isList(range)) {
    for (let i = 0; i < range.length; i++) if (!visit(BigInt(i), range.at(i))) return;
  } else if (isMap(range)) {
    for (const key of range.keys()) if (!visit(key, range.get(key)!)) return;
  } else if (isStruct(range)) {
    for (const name of range.fieldNames()) if (!visit(name, range.field(name)!)) return;
  } else throw noSuchOverload();
}

export function planComprehension(planner: Planner, expr: Comprehension): Step {
  const range = planner.plan(expr.range);
  return planner.scoped(expr.variables as readonly string[], (slots) => {
    const filter = expr.filter === undefined ? undefined : planner.plan(expr.filter);
    const transform = expr.transform === undefined ? undefined : planner.plan(expr.transform);
    /** Binds the variables of each round: one is the element of a list, but the key of a map. */
    const rounds = (frame: Frame, visit: (key: Value, value: Value) => boolean): void => {
      const values = range(frame);
      const byKey = slots.length === 1 && !isList(values);
      forEach(values, (key, value) => {
        frame.slots[slots[0]!] = slots.length === 2 || byKey ? key : value;
        if (slots.length === 2) frame.slots[slots[1]!] = value;
        return visit(key, value);
      });
    };
    switch (expr.macro) {
      case "all":
        return quantifier(rounds, filter!, false);
      case "exists":
        return quantifier(rounds, filter!, true);
      case "existsOne":
        return existsOne(rounds, filter!);
      case "filter":
        return collect(rounds, filter, (frame) => frame.slots[slots[0]!]!);
      case "map":
      case "transformList":
        return collect(rounds, filter, transform!);
      case "transformMap":
        return collectMap(rounds, filter, (frame, key, map) => addEntry(map, key, transform!(frame)));
      case "transformMapEntry":
        return collectMap(rounds, filter, (frame, _key, map) => {
          const entries = transform!(frame);
          if (!isMap(entries)) throw noSuchOverload();
          for (const key of entries.keys()) addEntry(map, key, entries.get(key)!);
        });
      case "sortBy":
        return sortBy(range, slots[0]!, transform!);
    }
  });
}

type Rounds = (frame: Frame, visit: (key: Value, value: Value) => boolean) => void;

/** all (decisive false) and exists (decisive true): a decisive element outweighs failures of others. */
function quantifier(rounds: Rounds, predicate: Step, decisive: boolean): Step {
  return (frame) => {
    let failure: CelError | undefined;
    let result = !decisive;
    rounds(frame, () => {
      frame.spend(LOOP_COST);
      try {
        if (asBool(predicate(frame)) !== decisive) return true;
        result = decisive;
        return false;
      } catch (error) {
        if (!(error instanceof CelError)) throw error;
        failure ??= error;
        return true;
      }
    });
    frame.spend(1);
    if (result !== decisive && failure !== undefined) throw failure;
    return result;
  };
}

function existsOne(rounds: Rounds, predicate: Step): Step {
  return (frame) => {
    let count = 0;
    rounds(frame, () => {
      frame.spend(LOOP_COST);
      if (asBool(predicate(frame))) count++;
      return true;
    });
    frame.spend(2);
    return count === 1;
  };
}

function collect(rounds: Rounds, filter: Step | undefined, transform: Step): Step {
  return (frame) => {
    const items: Value[] = [];
    rounds(frame, () => {
      frame.spend(1);
      if (filter !== undefined && !asBool(filter(frame))) return true;
      frame.spend(APPEND_COST - 1);
      items.push(transform(frame));
      return true;
    });
    frame.spend(1);
    return new ArrayList(items);
  };
}

function collectMap(
  rounds: Rounds,
  filter: Step | undefined,
  add: (frame: Frame, key: Value, map: Map<string, readonly [Value, Value]>) => void,
): Step {
  return (frame) => {
    const map = new Map<string, readonly [Value, Value]>();
    rounds(frame, (key) => {
      frame.spend(LOOP_COST);
      if (filter === undefined || asBool(filter(frame))) add(frame, key, map);
      return true;
    });
    return new EntryMap(map);
  };
}

/** The list is read twice, once for its keys, of which every one is compared with every other. */
function sortBy(range: Step, slot: number, key: Step): Step {
  return (frame) => {
    const items: Value[] = [];
    const keys: Value[] = [];
    forEach(range(frame), (_, value) => {
      frame.spend(APPEND_COST);
      frame.slots[slot] = value;
      items.push(value);
      keys.push(key(frame));
      return true;
    });
    const factor = typeof keys[0] === "string" || keys[0] instanceof Uint8Array ? 2.1 : 2;
    frame.spend(3 + LIST_COST + Math.floor(keys.length ** 2 * factor));
    return sortByKeys(items, keys);
  };
}
