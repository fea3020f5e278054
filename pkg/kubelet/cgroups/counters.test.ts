import assert from "node:assert/strict";
import { test } from "node:test";
import { countersFrom } from "./counters.ts";
import { sharesFor, weightOf } from "./limits.ts";

const reading = (files: Readonly<Record<string, string>>) => (_controller: string, file: string) => files[file];
const ALIKE = {
  cpu: {
    total: 5_000_000,
    user: 3_000_000,
    system: 2_000_000,
    periods: 10,
    throttledPeriods: 4,
    throttledNanoseconds: 7000,
    period: 100_000,
    quota: 50_000,
    shares: 1024,
  },
  io: [{ device: "8:0", readBytes: 4096, writeBytes: 8192, reads: 1, writes: 2 }],
  processes: [7, 8],
  threads: 5,
  maxThreads: 100,
};
const MEMORY = {
  usage: 1000,
  maxUsage: 2000,
  workingSet: 900,
  rss: 300,
  cache: 600,
  mappedFile: 50,
  swap: 20,
  limitHits: 3,
  pageFaults: 11,
  majorPageFaults: 1,
  oomKills: 2,
  limit: 4096,
  swapLimit: 0,
  reservation: 0,
};

test("both versions of cgroups tell the same", () => {
  const v1 = countersFrom(
    1,
    reading({
      "cpuacct.usage": "5000000",
      "cpuacct.usage_user": "3000000",
      "cpuacct.usage_sys": "2000000",
      "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 7000",
      "cpu.cfs_period_us": "100000",
      "cpu.cfs_quota_us": "50000",
      "cpu.shares": "1024",
      "memory.usage_in_bytes": "1000",
      "memory.max_usage_in_bytes": "2000",
      "memory.stat":
        "rss 1\ntotal_rss 300\ntotal_cache 600\ntotal_mapped_file 50\ntotal_swap 20\ntotal_inactive_file 100\ntotal_pgfault 11\ntotal_pgmajfault 1",
      "memory.failcnt": "3",
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
      "memory.limit_in_bytes": "4096",
      "memory.memsw.limit_in_bytes": "9223372036854771712",
      "memory.soft_limit_in_bytes": "9223372036854771712",
      "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288",
      "blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3",
      "cgroup.procs": "7\n8",
      "pids.current": "5",
      "pids.max": "100",
    }),
  );
  const v2 = countersFrom(
    2,
    reading({
      "cpu.stat": "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 7",
      "cpu.max": "50000 100000",
      "cpu.weight": "100",
      "memory.current": "1000",
      "memory.peak": "2000",
      "memory.stat": "anon 300\nfile 600\nfile_mapped 50\ninactive_file 100\nactive_file 500\npgfault 11\npgmajfault 1",
      "memory.swap.current": "20",
      "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2",
      "memory.max": "4096",
      "memory.swap.max": "max",
      "memory.low": "0",
      "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0",
      "cgroup.procs": "7\n8",
      "pids.current": "5",
      "pids.max": "100",
    }),
  );
  for (const counters of [v1, v2]) assert.deepEqual(counters, { ...ALIKE, memory: MEMORY });
});

test("what has no limits, and what the kernel does not count, is nothing", () => {
  const { cpu, memory, io, maxThreads } = countersFrom(2, reading({ "cpu.max": "max 100000", "pids.max": "max" }));
  assert.deepEqual([cpu.quota, cpu.total, memory.limit, memory.usage, io, maxThreads], [undefined, 0, 0, 0, [], 0]);
});

test("a weight tells of the shares that it was made of", () => {
  for (const shares of [2, 1024, 262_144]) assert.equal(sharesFor(weightOf(shares)), shares);
  for (const shares of [102, 512, 4096]) {
    const told = sharesFor(weightOf(shares));
    assert.ok(Math.abs(told - shares) < shares / 20, `${told} for ${shares}`);
  }
});
