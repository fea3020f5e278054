import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { imageSizeRange } from "./metrics.ts";
import { startContainerd } from "./testing/containerd.ts";
import { busybox, isReady, startTestBed } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";

interface FileSystem {
  capacityBytes: number;
  availableBytes: number;
  usedBytes: number;
  inodes: number;
  inodesUsed: number;
}
interface Summary {
  node: Record<string, object> & {
    runtime: { imageFs: FileSystem };
    systemContainers: { name: string }[];
    fs: FileSystem;
  };
  pods: (Record<string, object> & {
    containers: { name: string; cpu: object; memory: object; rootfs: FileSystem; logs: FileSystem }[];
    volume: (FileSystem & { name: string })[];
    memory: { availableBytes: number };
    network: { name: string; rxBytes: number; txBytes: number; interfaces: { name: string }[] };
    process_stats: { process_count: number };
  })[];
}

test("images are told apart by ranges of their size, as upstream names them", () => {
  const sizes = [0, 9.9, 10, 600, 1024, 20_000, 200_000];
  assert.deepEqual(
    sizes.map((mebibytes) => imageSizeRange(mebibytes * 2 ** 20)),
    ["0-10MB", "0-10MB", "10MB-100MB", "500MB-1GB", "1GB-5GB", "10GB-20GB", "GT100GB"],
  );
});

describe("what the kubelet's server tells", () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startContainerd("10.211.7"), { name: "r1", config: () => ({ maxPods: 42 }) });
    node = bed.node;
    const script =
      "head -c 300000 /dev/zero > /data/file; head -c 200000 /dev/zero | tr '\\0' x; echo; touch /tmp/done; exec sleep 1000";
    const readinessProbe = { exec: { command: ["test", "-e", "/tmp/done"] }, periodSeconds: 1 };
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const resources = { limits: { memory: "256Mi" } };
    await node.create("busy", busybox(script, { readinessProbe, volumeMounts, resources }), {
      volumes: [{ name: "data", emptyDir: {} }],
    });
    await node.wait("busy", isReady);
  });
  after(() => bed?.stop());

  test("stats/summary has every part of a pod and of the node", async () => {
    const text = (await node.get("/stats/summary")).body;
    const summary = JSON.parse(text) as Summary;
    for (const part of ["cpu", "memory", "swap", "network", "fs", "runtime", "rlimit", "startTime"])
      assert.ok(part in summary.node, `the node's ${part} is missing in ${text}`);
    const system = summary.node.systemContainers.map(({ name }) => name);
    assert.ok(system.includes("pods") && !system.includes("runtime"), system.join(" "));
    assert.ok(summary.node.runtime.imageFs.capacityBytes > 0);
    const [pod] = summary.pods;
    assert.ok(pod !== undefined, text);
    for (const part of ["podRef", "startTime", "cpu", "memory", "swap", "ephemeral-storage"])
      assert.ok(part in pod, part);
    const { availableBytes } = pod.memory;
    assert.ok(availableBytes > 0 && availableBytes <= 256 * 2 ** 20, `${availableBytes} bytes until its limit`);
    assert.ok(pod.process_stats.process_count >= 2, "the pause process and the container's");
    assert.equal(pod.network.name, "eth0");
    assert.deepEqual(
      pod.network.interfaces.map(({ name }) => name),
      ["eth0"],
    );
    const [container] = pod.containers;
    assert.equal(container?.name, "c");
    assert.ok(container.logs.usedBytes >= 200_000, `the log takes ${container.logs.usedBytes}`);
    assert.ok(container.rootfs.capacityBytes > 0);
    const data = pod.volume.find(({ name }) => name === "data");
    assert.ok(data !== undefined && data.usedBytes >= 300_000 && data.inodesUsed >= 2, JSON.stringify(pod.volume));
    const token = pod.volume.find(({ name }) => name.startsWith("kube-api-access"));
    assert.equal(token, undefined, "the pods of this cluster have no service account");
    const slim = JSON.parse((await node.get("/stats/summary?only_cpu_and_memory=true")).body) as Summary;
    assert.ok(!("fs" in slim.node) && !("volume" in slim.pods[0]!));
  });

  test("metrics: of the kubelet, of resources, of probes", async () => {
    const kubelet = (await node.get("/metrics")).body;
    for (const series of [
      /^kubelet_node_name\{node="r1"\} 1$/m,
      /^kubelet_running_pods 1$/m,
      /^kubelet_running_containers\{container_state="running"\} 1$/m,
      /^kubelet_runtime_operations_total\{operation_type="run_podsandbox"\} 1$/m,
      /^kubelet_runtime_operations_duration_seconds_count\{operation_type="create_container"\} 1$/m,
      /^kubelet_pleg_relist_duration_seconds_count \d+$/m,
      /^kubelet_pleg_relist_interval_seconds_count \d+$/m,
      /^kubelet_pleg_last_seen_seconds 1\d{9}/m,
      /^kubelet_run_podsandbox_duration_seconds_count\{runtime_handler=""\} 1$/m,
      /^kubelet_started_pods_total 1$/m,
      /^kubelet_started_containers_total\{container_type="container"\} 1$/m,
      /^kubelet_pod_worker_duration_seconds_count\{operation_type="create"\} 1$/m,
      /^kubelet_pod_worker_start_duration_seconds_count 1$/m,
      /^kubelet_pod_start_duration_seconds_count 1$/m,
      /^kubelet_pod_start_sli_duration_seconds_count 1$/m,
      /^kubelet_pod_start_total_duration_seconds_sum 0?[1-9.]/m,
      /^kubelet_server_expiration_renew_errors 0$/m,
      /^kubelet_containers_per_pod_count_sum 1$/m,
      /^kubelet_desired_pods\{static=""\} 1$/m,
      /^kubelet_working_pods\{config="desired",lifecycle="sync",static=""\} 1$/m,
      /^volume_manager_total_volumes\{plugin_name="kubernetes.io\/empty-dir",state="actual_state_of_world"\} 1$/m,
      /^kubelet_certificate_manager_server_ttl_seconds [1-9]\d{6,}/m,
      /^kubelet_http_requests_total\{.*path="metrics".*\} \d+$/m,
      /^kubelet_http_inflight_requests\{.*path="metrics".*\} 1$/m,
      /^kubelet_http_requests_duration_seconds_count\{.*path="stats".*\} \d+$/m,
      /^kubernetes_build_info\{git_version="v1\.36\.\d+".*\} 1$/m,
      /^process_resident_memory_bytes \d{7,}/m,
      /^process_open_fds [1-9]\d+$/m,
      /^process_max_fds [1-9]\d+$/m,
    ])
      assert.match(kubelet, series);
    const resource = (await node.get("/metrics/resource")).body;
    for (const series of [
      /^container_cpu_usage_seconds_total\{container="c",namespace="default",pod="busy"\} \S+ \d+$/m,
      /^container_start_time_seconds\{container="c",namespace="default",pod="busy"\} \d+/m,
      /^pod_memory_working_set_bytes\{namespace="default",pod="busy"\} [1-9]\d+ \d+$/m,
      /^node_cpu_usage_seconds_total \S+ \d+$/m,
      /^resource_scrape_error 0$/m,
    ])
      assert.match(resource, series);
    assert.match(
      (await node.get("/metrics/probes")).body,
      /^prober_probe_total\{probe_type="Readiness",result="successful",container="c",pod="busy",namespace="default",pod_uid="\S+"\} [1-9]/m,
    );
  });

  test("metrics/cadvisor has the series and labels that dashboards ask for", async () => {
    const text = (await node.get("/metrics/cadvisor")).body;
    const samples = (name: string, ...pairs: string[]) =>
      text.split("\n").filter((line) => line.startsWith(`${name}{`) && pairs.every((pair) => line.includes(pair)));
    const ofContainer = [
      'container="c"',
      'image="docker.io/library/busybox:1.35"',
      'namespace="default"',
      'pod="busy"',
    ];
    const value = (name: string, ...pairs: string[]) => {
      const found = samples(name, ...pairs);
      assert.equal(found.length, 1, `${name} ${pairs.join(" ")}: ${found.join("\n")}`);
      return Number(found[0]!.split(" ").at(-1));
    };
    assert.ok(value("container_cpu_usage_seconds_total", 'cpu="total"', ...ofContainer) > 0);
    assert.ok(value("container_memory_working_set_bytes", ...ofContainer) > 0);
    assert.equal(value("container_spec_memory_limit_bytes", ...ofContainer), 256 * 2 ** 20);
    assert.equal(value("container_processes", ...ofContainer), 1);
    assert.ok(value("container_file_descriptors", ...ofContainer) >= 3);
    assert.equal(value("container_sockets", ...ofContainer), 0);
    assert.ok(value("container_ulimits_soft", 'ulimit="max_open_files"', ...ofContainer) > 0);
    assert.ok(value("container_start_time_seconds", ...ofContainer) > 1.6e9);
    assert.ok(value("container_fs_usage_bytes", ...ofContainer) >= 0);
    // The pod as a whole, whose network is its sandbox's.
    assert.ok(value("container_memory_usage_bytes", 'container=""', 'name=""', 'pod="busy"') > 0);
    assert.ok(value("container_network_receive_bytes_total", 'interface="eth0"', 'pod="busy"') >= 0);
    for (const metric of ["container_memory_rss", "container_fs_limit_bytes", "container_cpu_usage_seconds_total"])
      assert.ok(value(metric, 'id="/"') > 0, metric);
    assert.match(text, /^machine_cpu_cores\{boot_id="\S+",machine_id="\S+",system_uuid=".*"\} [1-9]/m);
    const names = text.split("\n").flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
    assert.equal(new Set(names).size, names.length, "each family stands in one place");
  });

  test("configz speaks of the configuration as its file does; pods and runningpods are lists of pods", async () => {
    const { kubeletconfig } = JSON.parse((await node.get("/configz")).body) as {
      kubeletconfig: Record<string, unknown>;
    };
    assert.equal(kubeletconfig["maxPods"], 42);
    assert.equal(kubeletconfig["syncFrequency"], "1m0s");
    assert.equal(kubeletconfig["evictionPressureTransitionPeriod"], "5m0s");
    assert.deepEqual(kubeletconfig["authentication"], {
      x509: {},
      webhook: { enabled: true, cacheTTL: "2m0s" },
      anonymous: { enabled: true },
    });
    for (const path of ["/pods", "/runningpods/"]) {
      const list = JSON.parse((await node.get(path)).body) as { kind: string; items: { metadata: { name: string } }[] };
      assert.equal(list.kind, "PodList");
      assert.deepEqual(
        list.items.map(({ metadata }) => metadata.name),
        ["busy"],
      );
    }
  });
});
