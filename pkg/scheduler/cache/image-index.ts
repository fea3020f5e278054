import type { ContainerImage } from "#pkg/api/types/core-v1.ts";

/** Which images are on how many nodes. */
export class ImageIndex {
  readonly #nodesByImage = new Map<string, Set<string>>();
  readonly #byNode = new Map<string, ReadonlyMap<string, number>>();

  /** How many nodes have the image. */
  nodeCount(image: string): number {
    return this.#nodesByImage.get(image)?.size ?? 0;
  }
  /** Takes in a node's images (none: the node has gone) and returns their sizes in bytes by name. */
  update(nodeName: string, images: readonly ContainerImage[]): ReadonlyMap<string, number> {
    const sizes = new Map<string, number>();
    for (const { names, sizeBytes = 0 } of images) for (const name of names ?? []) sizes.set(name, sizeBytes);
    for (const name of this.#byNode.get(nodeName)?.keys() ?? []) {
      if (sizes.has(name)) continue;
      const nodes = this.#nodesByImage.get(name);
      nodes?.delete(nodeName);
      if (nodes?.size === 0) this.#nodesByImage.delete(name);
    }
    for (const name of sizes.keys()) {
      const nodes = this.#nodesByImage.get(name);
      if (nodes === undefined) this.#nodesByImage.set(name, new Set([nodeName]));
      else nodes.add(nodeName);
    }
    if (sizes.size === 0) this.#byNode.delete(nodeName);
    else this.#byNode.set(nodeName, sizes);
    return sizes;
  }
}
