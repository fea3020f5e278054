import type { ObjectMeta } from "./meta-v1.ts";

/**
 * Metadata of an object that the API server has stored: the fields it always fills in are present.
 * `namespace` stays optional because cluster-scoped objects have none.
 */
export type Metadata = Omit<ObjectMeta, "name" | "uid" | "resourceVersion" | "creationTimestamp"> & {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
};
