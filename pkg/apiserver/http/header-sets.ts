type HeaderSet = Readonly<Record<string, string>>;

/** Of answers that are meant for people. */
export const PLAIN_TEXT: HeaderSet = Object.freeze({ "content-type": "text/plain; charset=utf-8" });

/** By what is added, then by what it is added to. */
const joined = new WeakMap<HeaderSet, WeakMap<HeaderSet, HeaderSet>>();

/** Both sets as one. Frozen sets are joined once, so that the transport can keep the result encoded. */
export function joinHeaders(own: HeaderSet, more: HeaderSet): HeaderSet {
  if (!Object.isFrozen(own)) return { ...own, ...more };
  let byOwn = joined.get(more);
  if (byOwn === undefined) joined.set(more, (byOwn = new WeakMap()));
  let both = byOwn.get(own);
  if (both === undefined) byOwn.set(own, (both = Object.freeze({ ...own, ...more })));
  return both;
}
