import { containsItem } from "../equality.ts";
import { declare, type Overload } from "../functions.ts";
import type { CelList } from "../values.ts";

function containsAll(list: CelList, wanted: CelList): boolean {
  for (let i = 0; i < wanted.length; i++) if (!containsItem(list, wanted.at(i))) return false;
  return true;
}
function intersects(a: CelList, b: CelList): boolean {
  for (let i = 0; i < a.length; i++) if (containsItem(b, a.at(i))) return true;
  return false;
}
const visits = { visits: [0, 1] };

/** cel-go's ext.Sets. */
export const setsLibrary: readonly Overload[] = [
  declare("sets.contains", "(list<A>, list<A>) -> bool", containsAll, visits),
  declare(
    "sets.equivalent",
    "(list<A>, list<A>) -> bool",
    (a: CelList, b: CelList) => containsAll(a, b) && containsAll(b, a),
    visits,
  ),
  declare("sets.intersects", "(list<A>, list<A>) -> bool", intersects, visits),
];
