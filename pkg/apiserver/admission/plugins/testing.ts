import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { MemorySource } from "../../source/index.ts";

/** A source of partial objects, for tests. */
export function sourceOf<T extends AnyObject>(...objects: object[]): MemorySource<T> {
  return new MemorySource<T>(objects as T[]);
}

/** Pod ns/p with one container and what is given. */
export function testPod(spec: object = {}, metadata: object = {}): Pod {
  return {
    metadata: { name: "p", namespace: "ns", ...metadata },
    spec: { containers: [{ name: "c" }], ...spec },
  } as unknown as Pod;
}
