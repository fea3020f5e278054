import type { CostRule } from "../costs.ts";
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
/** Everything is compared with everything. */
const product =
  (times: number): CostRule =>
  (sizes) =>
    1 + times * sizes.of(0) * sizes.of(1);

/** cel-go's ext.Sets. */
export const setsLibrary: readonly Overload[] = [
  declare("sets.contains", "(list<A>, list<A>) -> bool", containsAll, product(1)),
  declare(
    "sets.equivalent",
    "(list<A>, list<A>) -> bool",
    (a: CelList, b: CelList) => containsAll(a, b) && containsAll(b, a),
    product(2),
  ),
  declare("sets.intersects", "(list<A>, list<A>) -> bool", intersects, product(1)),
];
