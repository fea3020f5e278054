import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume } from "#pkg/api/types/core-v1.ts";
import type { VolumeAttachment } from "#pkg/api/types/storage-v1.ts";
import { meta, podOf } from "../testing/objects.ts";
import { attachmentName, type AttachView, planAttachments, uniqueVolumeName } from "./plan.ts";

const volume: PersistentVolume = { metadata: meta("pv"), spec: { csi: { driver: "d", volumeHandle: "h" } } };
const attachment = (name: string): VolumeAttachment => ({
  metadata: meta(name),
  spec: { attacher: "d", nodeName: "node", source: { persistentVolumeName: "pv" } },
});
const ours = attachment(attachmentName("d", "h", "node"));
const view = (extra: Partial<AttachView>): AttachView => ({
  node: undefined,
  nodeName: "node",
  pods: [],
  volumesOf: () => [volume],
  driver: () => undefined,
  volumeNamed: (name) => (name === "pv" ? volume : undefined),
  attachments: [],
  ...extra,
});
const plan = (extra: Partial<AttachView>) => {
  const { attach, detach } = planAttachments(view(extra));
  return [attach.length, detach.length];
};

test("a pod's CSI volume is attached once, and detached when nobody has it any more", () => {
  assert.deepEqual(plan({ pods: [podOf("a"), podOf("b")] }), [1, 0]);
  assert.deepEqual(plan({ pods: [podOf("a")], attachments: [ours] }), [0, 0]);
  assert.deepEqual(plan({ pods: [podOf("a", { phase: "Succeeded" })], attachments: [ours] }), [0, 1]);
  const node = { metadata: meta("node"), spec: {}, status: { volumesInUse: [uniqueVolumeName("d", "h")] } };
  assert.deepEqual(plan({ attachments: [ours], node }), [0, 0], "still mounted");
});

test("attachments of others, and drivers that need none, are left alone", () => {
  assert.deepEqual(plan({ attachments: [attachment("by-hand")] }), [0, 0]);
  assert.deepEqual(
    plan({ pods: [podOf("a")], driver: () => ({ metadata: meta("d"), spec: { attachRequired: false } }) }),
    [0, 0],
  );
});

test("the node's status lists what is attached, and pods hear of it once", () => {
  const name = uniqueVolumeName("d", "h");
  const attached: VolumeAttachment = { ...ours, status: { attached: true } };
  const nodeWith = (...names: string[]) => ({
    metadata: meta("node"),
    spec: {},
    status: { volumesAttached: names.map((one) => ({ name: one, devicePath: "" })) },
  });
  const status = (node: AttachView["node"], attachments: VolumeAttachment[]) => {
    const planned = planAttachments(view({ node, attachments, pods: [podOf("a")] }));
    return [planned.attached?.map((volume) => volume.name), planned.served.map(({ volume: served }) => served)];
  };
  assert.deepEqual(status(nodeWith(), [ours]), [undefined, []], "not attached yet");
  assert.deepEqual(status(nodeWith(), [attached]), [[name], ["pv"]]);
  assert.deepEqual(status(nodeWith(name), [attached]), [undefined, []]);
  assert.deepEqual(status(nodeWith("other", name), []), [["other"], []], "what others attach stays");
});
