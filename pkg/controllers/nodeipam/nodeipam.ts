/** Gives each node its part of the pod network, one subnet per IP family. */
import { isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { nodes } from "#pkg/api/refs.ts";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { CidrAllocator } from "./allocator.ts";
import { parseCidr } from "./cidr.ts";

/** node-ipam-controller; undefined without cluster CIDRs. */
export function createNodeIpamController(env: ControllerEnv): Controller | undefined {
  const { clock, informers, options } = env;
  if (options.clusterCidrs.length === 0) return undefined;
  const allocators = options.clusterCidrs.map((network) => {
    const prefix = parseCidr(network).bits === 32 ? options.nodeCidrMaskSizeIpv4 : options.nodeCidrMaskSizeIpv6;
    return new CidrAllocator(network, prefix, options.serviceCidrs);
  });
  const queue = createQueue(clock);
  const each = (node: Node, act: (allocator: CidrAllocator, cidr: string) => void) => {
    for (const cidr of cidrsOf(node)) for (const allocator of allocators) if (isReadable(cidr)) act(allocator, cidr);
  };
  const handler: EventHandler<Node> = {
    onAdd(node) {
      each(node, (allocator, cidr) => allocator.occupy(cidr));
      queue.add(node.metadata.name);
    },
    onUpdate(node) {
      each(node, (allocator, cidr) => allocator.occupy(cidr));
      if (cidrsOf(node).length === 0) queue.add(node.metadata.name);
    },
    onDelete: (node) => each(node, (allocator, cidr) => allocator.release(cidr)),
  };
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [watching(informers.of(nodes), handler)],
    reconcile: (key, context) => reconcile(env, allocators, key, context),
  });
}

function isReadable(cidr: string): boolean {
  try {
    parseCidr(cidr);
    return true;
  } catch {
    return false; // set by hand; such a node keeps what it has
  }
}

function cidrsOf({ spec }: Node): readonly string[] {
  if ((spec.podCIDRs ?? []).length > 0) return spec.podCIDRs!;
  return spec.podCIDR === undefined || spec.podCIDR === "" ? [] : [spec.podCIDR];
}

async function reconcile(
  env: ControllerEnv,
  allocators: readonly CidrAllocator[],
  key: ObjectKey,
  { signal, log }: ReconcileContext,
): Promise<Result> {
  const { client, informers, recorder } = env;
  const node = informers.of(nodes).lister.get(key);
  if (node === undefined || cidrsOf(node).length > 0) return DONE;
  const podCIDRs: string[] = [];
  const giveBack = () => podCIDRs.forEach((cidr, index) => allocators[index]!.takeBack(cidr));
  for (const allocator of allocators) {
    const cidr = allocator.allocate();
    if (cidr === undefined) {
      giveBack();
      recorder.event(node, "Normal", "CIDRNotAvailable", `Node ${key.name} status is now: CIDRNotAvailable`);
      throw new Error("no free pod network left");
    }
    podCIDRs.push(cidr);
  }
  try {
    // The version guards against a second allocation from an outdated cache.
    const { uid, resourceVersion } = node.metadata;
    const patch = { metadata: { uid, resourceVersion }, spec: { podCIDR: podCIDRs[0], podCIDRs } };
    await client.patch(nodes, key, "strategic", patch, { signal });
    log.info({ node: key.name, podCIDRs }, "Allocated pod networks");
  } catch (error) {
    giveBack();
    if (!isNotFound(error)) throw error;
  }
  return DONE;
}
