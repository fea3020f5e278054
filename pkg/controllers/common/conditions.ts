import { formatTime } from "#pkg/util/index.ts";

/** The part all condition types share. */
export interface AnyCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string | null;
}

/** The condition of this type, if there is one. */
export function findCondition<C extends AnyCondition>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/**
 * The list with `condition` in it: unchanged when status and reason are already so, else put last, its transition
 * time kept while the status is the same.
 */
export function withCondition<C extends AnyCondition>(conditions: readonly C[] | undefined, condition: C): C[] {
  const list = conditions ?? [];
  const current = findCondition(list, condition.type);
  if (current !== undefined && current.status === condition.status && current.reason === condition.reason)
    return [...list];
  const kept =
    current !== undefined && current.status === condition.status && current.lastTransitionTime !== undefined
      ? { ...condition, lastTransitionTime: current.lastTransitionTime }
      : condition;
  return [...list.filter(({ type }) => type !== condition.type), kept];
}

/** All conditions but those of this type. */
export function withoutCondition<C extends AnyCondition>(conditions: readonly C[] | undefined, type: string): C[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}

/** A condition of now. */
export function condition(
  type: string,
  status: "True" | "False" | "Unknown",
  reason: string,
  message: string,
  now: number,
): { type: string; status: string; reason: string; message: string; lastTransitionTime: string } {
  return { type, status, reason, message, lastTransitionTime: formatTime(now) };
}
