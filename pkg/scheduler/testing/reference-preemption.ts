/** Preemption as the documentation words it, by the slow predicates; part of the slow reference. */
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { refusedBy } from "./reference.ts";
import { on, selects } from "./reference-basics.ts";
import type { World } from "./reference-basics.ts";

export interface Preemption {
  readonly node: string;
  /** Names, the most important first. */
  readonly victims: readonly Pod[];
  readonly violations: number;
}

const priority = ({ spec }: Pod) => spec.priority ?? 0;
const started = ({ status }: Pod) => (status?.startTime === undefined ? Infinity : Date.parse(status.startTime));
const byImportance = (a: Pod, b: Pod) =>
  priority(b) - priority(a) || (started(a) === started(b) ? 0 : started(a) - started(b));
const without = (world: World, gone: readonly Pod[]): World => ({
  ...world,
  pods: world.pods.filter((pod) => !gone.includes(pod)),
});

/** Everybody less important goes; then, those first that a budget protects, each comes back for whom there is room. */
export function preemptionOn(world: World, pod: Pod, node: Node): Preemption | undefined {
  const lower = on(world, node).filter((other) => priority(other) < priority(pod));
  if (lower.length === 0 || refusedBy(without(world, lower), pod, node) !== undefined) return undefined;
  lower.sort(byImportance);
  const left = world.budgets.map(({ status }) => status?.disruptionsAllowed ?? 0);
  const isProtected = (other: Pod) => {
    const exhausted = world.budgets.filter(({ metadata, spec }, i) => {
      if (metadata.namespace !== other.metadata.namespace || !selects(spec?.selector, other.metadata.labels))
        return false;
      left[i]! -= 1;
      return left[i]! < 0;
    });
    return exhausted.length > 0;
  };
  const violating = lower.filter(isProtected);
  const victims = [...lower];
  for (const other of [...violating, ...lower.filter((each) => !violating.includes(each))]) {
    const rest = victims.filter((each) => each !== other);
    if (refusedBy(without(world, rest), pod, node) === undefined) victims.splice(victims.indexOf(other), 1);
  }
  return {
    node: node.metadata.name,
    victims,
    violations: victims.filter((victim) => violating.includes(victim)).length,
  };
}

/** Of two preemptions the one that hurts less, by the criteria in the order of the documentation; 0: neither. */
export function comparePreemptions(a: Preemption, b: Preemption): number {
  const highest = ({ victims }: Preemption) => Math.max(-Infinity, ...victims.map(priority));
  const sum = ({ victims }: Preemption) => victims.reduce((total, pod) => total + priority(pod) + 2 ** 31, 0);
  const earliest = (one: Preemption) =>
    Math.min(Infinity, ...one.victims.filter((pod) => priority(pod) === highest(one)).map(started));
  const order = (left: number, right: number) => (left === right ? 0 : left < right ? -1 : 1);
  return (
    order(a.violations, b.violations) ||
    order(highest(a), highest(b)) ||
    order(sum(a), sum(b)) ||
    order(a.victims.length, b.victims.length) ||
    order(earliest(b), earliest(a))
  );
}
