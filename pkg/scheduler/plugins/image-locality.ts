import type { ImageIndex } from "../cache/image-index.ts";
import { MAX_NODE_SCORE } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";

const MIB = 1024 * 1024;
const MIN_BYTES = 23 * MIB;
const MAX_BYTES_PER_CONTAINER = 1000 * MIB;

interface Wanted {
  readonly images: readonly string[];
  readonly containers: number;
  readonly nodeCount: number;
}

/** Prefers nodes that have the pod's images; an image that is on few nodes counts less, so as not to heat them up. */
export function imageLocality(index: ImageIndex, nodeCount: () => number): Plugin<unknown, Wanted> {
  return {
    name: "ImageLocality",
    preScore: ({ pod }) => {
      const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
      const images = containers
        .map(({ image = "" }) => normalized(image))
        .filter((image) => index.nodeCount(image) > 0);
      // Nobody has any of them: all nodes score alike.
      if (images.length === 0) return "skip";
      return { state: { images, containers: containers.length, nodeCount: Math.max(nodeCount(), 1) } };
    },
    score: ({ images, containers, nodeCount: total }, _pod, node) => {
      let sum = 0;
      for (const image of images) {
        const size = node.images.get(image);
        if (size !== undefined) sum += Math.trunc(size * (index.nodeCount(image) / total));
      }
      const max = MAX_BYTES_PER_CONTAINER * containers;
      const bounded = Math.min(Math.max(sum, MIN_BYTES), max);
      return Math.trunc((MAX_NODE_SCORE * (bounded - MIN_BYTES)) / (max - MIN_BYTES));
    },
  };
}

/** "nginx" means "nginx:latest". */
function normalized(image: string): string {
  const lastPart = image.slice(image.lastIndexOf("/") + 1);
  return lastPart.includes(":") || image.includes("@") ? image : `${image}:latest`;
}
