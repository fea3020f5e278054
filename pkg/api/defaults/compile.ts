import { deepCopy } from "#pkg/apimachinery/index.ts";

export type DefaultRows = Readonly<Record<string, unknown>>;
export type Defaulter = (object: Record<string, unknown>) => void;

/** Plain integers in the wire types, where an explicit zero cannot be told from absence. */
const ZERO_IS_ABSENT: ReadonlySet<string> = new Set([
  "periodSeconds",
  "failureThreshold",
  "successThreshold",
  "matchingPrecedence",
  "queues",
  "handSize",
  "queueLengthLimit",
]);

interface Node {
  /** Rows of this very field; the first one in table order is applied before its members. */
  value?: { readonly fallback: unknown };
  readonly members: Map<string, Node>;
  elements?: Node;
}
const emptyNode = (): Node => ({ members: new Map() });

function buildTree(rows: DefaultRows): Node {
  const root = emptyNode();
  for (const [path, fallback] of Object.entries(rows)) {
    let node = root;
    for (const part of path.split(".")) {
      const name = part.endsWith("[]") ? part.slice(0, -2) : part;
      let next = node.members.get(name);
      if (next === undefined) node.members.set(name, (next = emptyNode()));
      node = next;
      if (part.endsWith("[]")) node = node.elements ??= emptyNode();
    }
    node.value = { fallback };
  }
  return root;
}

/**
 * Plain texts that are kept when they are empty, which is the same as absent. Other empty texts that are still there
 * stand behind pointers in the wire types: they were said, for validation to refuse.
 */
const EMPTY_IS_ABSENT: ReadonlySet<string> = new Set(["apiGroup", "status"]);

function isAbsent(name: string, value: unknown, zeroIsAbsent: boolean): boolean {
  if (value === undefined || value === null) return true;
  if (value === "") return EMPTY_IS_ABSENT.has(name);
  return value === 0 && zeroIsAbsent && name !== "";
}

function compileNode(node: Node, probe: boolean): Defaulter {
  const steps: Defaulter[] = [];
  for (const [name, child] of node.members) {
    const inProbe = name.endsWith("Probe");
    if (child.value !== undefined) {
      const { fallback } = child.value;
      const copies = typeof fallback === "object" && fallback !== null;
      const zero = ZERO_IS_ABSENT.has(name) || (probe && name === "timeoutSeconds");
      steps.push((object) => {
        if (isAbsent(name, object[name], zero)) object[name] = copies ? deepCopy(fallback) : fallback;
      });
    }
    if (child.members.size > 0) {
      const inner = compileNode(child, inProbe);
      steps.push((object) => {
        const value = object[name];
        if (typeof value === "object" && value !== null && !Array.isArray(value))
          inner(value as Record<string, unknown>);
      });
    }
    if (child.elements !== undefined) {
      const inner = compileNode(child.elements, false);
      steps.push((object) => {
        const value = object[name];
        if (!Array.isArray(value)) return;
        for (const element of value) {
          if (typeof element === "object" && element !== null) inner(element as Record<string, unknown>);
        }
      });
    }
  }
  return (object) => {
    for (const step of steps) step(object);
  };
}

/** Turns rows of path and value into one function that fills in what is absent. Idempotent by construction. */
export function compileDefaults(rows: DefaultRows): Defaulter {
  return compileNode(buildTree(rows), false);
}
