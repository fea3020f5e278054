import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { FlowSchema, PriorityLevelConfiguration } from "#pkg/api/types/flowcontrol-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { MemorySource } from "../source/index.ts";
import { FlowClassifier, type FlowRequest } from "./classify.ts";
import { FlowController } from "./controller.ts";
import table from "./data/flowcontrol.json" with { type: "json" };
import { dealHand } from "./queue-set.ts";
import { RetryAfter } from "./retry-after.ts";
import type { Turn } from "./turn.ts";

const request = (more: Partial<FlowRequest> = {}): FlowRequest => ({
  resourceRequest: true,
  verb: "list",
  path: "/api/v1/namespaces/ns/pods",
  group: "",
  version: "v1",
  query: new URLSearchParams(),
  resource: "pods",
  subresource: "",
  namespace: "ns",
  ...more,
});
const authenticated = (name: string, ...groups: string[]): UserInfo => ({
  name,
  groups: [...groups, "system:authenticated"],
});
const withMetadata = <T>(entries: readonly object[]): T[] =>
  entries.map((entry) => {
    const { name, ...spec } = entry as { name: string };
    return { metadata: { name }, spec } as T;
  });

describe("classification by the default schemas", () => {
  const classifier = new FlowClassifier(
    withMetadata<FlowSchema>([...table.mandatoryFlowSchemas, ...table.suggestedFlowSchemas]),
  );
  const cases: [UserInfo, FlowRequest, string][] = [
    [authenticated("admin", "system:masters"), request(), "exempt"],
    [
      authenticated("system:node:n", "system:nodes"),
      request({ resource: "nodes", subresource: "status", verb: "patch", namespace: "" }),
      "system-node-high",
    ],
    [authenticated("system:node:n", "system:nodes"), request(), "system-nodes"],
    [
      authenticated("system:kube-scheduler"),
      request({ group: "coordination.k8s.io", resource: "leases", verb: "update" }),
      "system-leader-election",
    ],
    [authenticated("system:kube-scheduler"), request(), "kube-scheduler"],
    [
      authenticated("system:serviceaccount:kube-system:x", "system:serviceaccounts"),
      request(),
      "kube-system-service-accounts",
    ],
    [authenticated("system:serviceaccount:ns:x", "system:serviceaccounts"), request(), "service-accounts"],
    [authenticated("me"), request(), "global-default"],
    [authenticated("me"), request({ resourceRequest: false, verb: "get", path: "/healthz" }), "probes"],
    [
      { name: "system:anonymous", groups: ["system:unauthenticated"] },
      request({ resourceRequest: false, verb: "get", path: "/metrics" }),
      "global-default",
    ],
  ];
  for (const [user, what, expected] of cases) {
    test(`${user.name} ${what.verb} ${what.resource} is ${expected}`, () =>
      assert.equal(classifier.classify(user, what)?.metadata.name, expected));
  }
});

test("hands are stable, without repetition, and spread", () => {
  const config = { queues: 64, handSize: 6, queueLengthLimit: 1 };
  const hands = Array.from({ length: 100 }, (_, i) => dealHand(`flow-${i}`, config));
  for (const hand of hands) {
    assert.equal(new Set(hand).size, 6);
    assert.ok(hand.every((card) => card >= 0 && card < 64));
  }
  assert.deepEqual(dealHand("flow-1", config), hands[1]);
  assert.ok(new Set(hands.flat()).size > 60);
});

describe("seats", () => {
  let clock: FakeClock;
  let flow: FlowController;
  const never = new AbortController().signal;
  const schemas = new MemorySource<FlowSchema>();
  const levels = new MemorySource<PriorityLevelConfiguration>();
  const level = (name: string, shares: number, more: object = {}): void =>
    levels.set({
      metadata: { name, uid: `level-${name}` },
      spec: {
        type: "Limited",
        limited: {
          nominalConcurrencyShares: shares,
          limitResponse: { type: "Queue", queuing: { queues: 8, handSize: 2, queueLengthLimit: 3 } },
          ...more,
        },
      },
    } as unknown as PriorityLevelConfiguration);
  beforeEach(() => {
    clock = new FakeClock();
    for (const name of ["a", "b"]) {
      schemas.set({
        metadata: { name, uid: `schema-${name}` },
        spec: {
          priorityLevelConfiguration: { name },
          matchingPrecedence: 1,
          distinguisherMethod: { type: "ByUser" },
          rules: [
            {
              subjects: [{ kind: "Group", group: { name } }],
              resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] }],
            },
          ],
        },
      } as unknown as FlowSchema);
    }
    level("a", 10);
    level("b", 10);
    flow = new FlowController({
      flowSchemas: schemas,
      priorityLevels: levels,
      clock,
      totalSeats: 4,
      queueTimeoutMs: 1000,
    });
  });
  const enter = async (group: string, user = "u", signal = never): Promise<() => void> =>
    seat(flow.admit(authenticated(user, group), request(), { signal }));
  const seat = async (turn: Turn): Promise<() => void> => {
    await turn.waiting;
    return () => turn.release();
  };
  const settled = async (promise: Promise<unknown>): Promise<boolean> => {
    let done = false;
    const note = (): void => void (done = true);
    promise.then(note, note);
    await new Promise((resolve) => setImmediate(resolve));
    return done;
  };

  test("each level has its share; the next waits until one leaves", async () => {
    const [first] = [await enter("a"), await enter("a")];
    const third = enter("a");
    assert.equal(await settled(third), false);
    await enter("b");
    first!();
    first!();
    await third;
    assert.deepEqual(flow.state(), [
      { level: "a", nominal: 2, inUse: 2, waiting: 0 },
      { level: "b", nominal: 2, inUse: 1, waiting: 0 },
    ]);
  });

  test("waiting ends with 429, by time or when the queues are full", async () => {
    await enter("a");
    await enter("a");
    const late = assert.rejects(enter("a"), { code: 429, message: "Too many requests, please try again later." });
    await clock.advance(1000);
    await late;
    const waiting = Array.from({ length: 6 }, () => enter("a"));
    for (const pending of waiting) pending.catch(() => undefined);
    await assert.rejects(enter("a"), { code: 429 });
  });

  test("seats taken before a level changes come back to it", async () => {
    const leave = [await enter("a"), await enter("a")];
    const waiting = assert.rejects(enter("a"), { code: 429 });
    level("a", 10, { limitResponse: { type: "Reject" } });
    await assert.rejects(enter("a"), { code: 429 });
    await waiting;
    for (const each of leave) each();
    assert.equal(flow.state()[0]!.inUse, 0);
    (await enter("a"))();
  });

  test("a client that leaves does not take a seat", async () => {
    const leave = await enter("a");
    await enter("a");
    const gone = new AbortController();
    const waiting = enter("a", "u", gone.signal);
    gone.abort();
    await assert.rejects(waiting, { code: 429 });
    leave();
    assert.equal(flow.state()[0]!.inUse, 1);
  });

  test("a greedy user does not starve another", async () => {
    const seats = [await enter("a", "greedy"), await enter("a", "greedy")];
    const order: string[] = [];
    const wait = (user: string): void => void enter("a", user).then((leave) => (order.push(user), seats.push(leave)));
    for (let i = 0; i < 4; i++) wait("greedy");
    wait("modest");
    while (order.length < 5) {
      seats.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(order.indexOf("modest") <= 2, order.join(" "));
  });

  test("idle seats are lent, and only idle ones", async () => {
    level("b", 10, { lendablePercent: 50 });
    await enter("a");
    await enter("a");
    await enter("a");
    assert.equal(await settled(enter("a")), false);
    level("b", 10, { lendablePercent: 0 });
  });

  test("exempt and long-running requests take no seat; rejecting levels do not queue", async () => {
    await seat(
      flow.admit(authenticated("u", "a"), request({ subresource: "exec", verb: "create" }), { signal: never }),
    );
    assert.equal(flow.state()[0]!.inUse, 0);
    level("a", 10, { limitResponse: { type: "Reject" } });
    await enter("a");
    await enter("a");
    await assert.rejects(enter("a"), { code: 429 });
  });

  test("long lists take several seats, watched writes keep some for a while", async () => {
    let load = { objects: 250, watchers: 0 };
    const weighing = new FlowController({
      flowSchemas: schemas,
      priorityLevels: levels,
      clock,
      totalSeats: 80,
      loadOf: () => load,
    });
    const inUse = (): number => weighing.state().find((each) => each.level === "a")!.inUse;
    const seatsOf = async (more: Partial<FlowRequest>): Promise<number> => {
      const leave = await seat(weighing.admit(authenticated("u", "a"), request(more), { signal: never }));
      const taken = inUse();
      leave();
      return taken;
    };
    const query = (text: string) => ({ query: new URLSearchParams(text) });
    assert.equal(await seatsOf({}), 3);
    assert.equal(await seatsOf(query("limit=100")), 1);
    assert.equal(await seatsOf(query("limit=100&labelSelector=a")), 3);
    assert.equal(await seatsOf(query("fieldSelector=metadata.name%3Dx")), 1);
    assert.equal(await seatsOf({ verb: "get" }), 1);
    assert.equal(await seatsOf({ verb: "watch" }), 1);
    assert.equal(await seatsOf({ verb: "watch", ...query("sendInitialEvents=true") }), 3);
    load = { objects: 100_000, watchers: 95 };
    assert.equal(await seatsOf({}), 6); // 15 % of 40
    assert.equal(inUse(), 0);
    assert.equal(await seatsOf({ verb: "update" }), 1);
    assert.equal(inUse(), 6); // ten seats' worth of telling, as six for longer
    await clock.advance(9);
    assert.equal(inUse(), 0);
  });

  test("answers name schema and level by uid; metrics count what came, waited and went", async () => {
    const turn = flow.admit(authenticated("u", "a"), request(), { signal: never });
    assert.deepEqual(turn.headers, {
      "x-kubernetes-pf-flowschema-uid": "schema-a",
      "x-kubernetes-pf-prioritylevel-uid": "level-a",
    });
    assert.equal(flow.admit(authenticated("u", "a"), request(), { signal: never }).headers, turn.headers);
    const late = enter("a");
    const line = (name: string, labels = 'flow_schema="a",priority_level="a"') =>
      flow
        .metrics()
        .split("\n")
        .find((own) => own.startsWith(`apiserver_flowcontrol_${name}{${labels}`))
        ?.split(" ")[1];
    assert.equal(line("current_executing_seats"), "2");
    assert.equal(line("current_inqueue_requests"), "1");
    await clock.advance(400);
    turn.release();
    await late;
    assert.equal(line("dispatched_requests_total"), "3");
    assert.equal(line("nominal_limit_seats", 'priority_level="a"'), "2");
    assert.equal(line("request_wait_duration_seconds_sum", 'execute="true",flow_schema="a"'), "0.4");
    assert.equal(
      line("request_wait_duration_seconds_bucket", 'execute="true",flow_schema="a",priority_level="a",le="0.2"'),
      "2",
    );
    const waiting = enter("a");
    waiting.catch(() => undefined);
    await clock.advance(1000);
    await assert.rejects(waiting, { code: 429 });
    assert.equal(line("rejected_requests_total", 'flow_schema="a",priority_level="a",reason="time-out"'), "1");
  });

  test("the longer refusals go on, the later clients are asked to come back", () => {
    const advice = new RetryAfter();
    const told: number[] = [];
    for (let second = 10; second < 26; second++) {
      for (let refusal = 0; refusal < 8; refusal++) advice.refused(second * 1000 + refusal);
      told.push(advice.seconds);
    }
    assert.deepEqual(told, [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 16]);
    for (let second = 100; second < 200; second += 40) advice.refused(second * 1000);
    assert.equal(advice.seconds, 13);
  });

  test("who needs more seats than are left waits its turn, and nobody passes by", async () => {
    const load = { objects: 1000, watchers: 0 };
    const weighing = new FlowController({
      flowSchemas: schemas,
      priorityLevels: levels,
      clock,
      totalSeats: 20,
      loadOf: () => load,
    });
    const admit = async (verb: string): Promise<() => void> =>
      seat(weighing.admit(authenticated("u", "a"), request({ verb }), { signal: never }));
    const gets = await Promise.all(Array.from({ length: 9 }, () => admit("get")));
    const list = admit("list"); // two seats of ten
    assert.equal(await settled(list), false);
    const late = admit("get");
    assert.equal(await settled(late), false);
    gets.pop()!();
    assert.equal(await settled(list), true);
    assert.equal(await settled(late), false);
    gets.pop()!();
    await late;
  });
});
