import type { KindDeclaration } from "./define.ts";

/** What each kind adds to the tables. Kinds that add nothing are not here. */
export const declarations: readonly KindDeclaration[] = [];
