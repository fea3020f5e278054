import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NonResourceHandler } from "#pkg/apiserver/index.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { describeExplanation, serveExplanations } from "./explain.ts";

const placed: Explanation = {
  pod: "default/web",
  at: Date.UTC(2026, 0, 1),
  message: "placed on b",
  queue: undefined,
  nodeName: "b",
  refusals: [{ node: "c", plugin: "NodeResourcesFit", reasons: ["Insufficient cpu", "Insufficient memory"] }],
  candidates: [
    { node: "b", total: 380, scores: { NodeResourcesFit: 80, TaintToleration: 100 } },
    { node: "a", total: 350, scores: { NodeResourcesFit: 50, TaintToleration: 100 } },
  ],
  weights: { NodeResourcesFit: 1, TaintToleration: 3 },
};

describe("describeExplanation", () => {
  it("shows each node's verdict and each plugin's score", () => {
    assert.equal(
      describeExplanation(placed),
      `Pod:      default/web
Waiting:  no
Attempt:  2026-01-01T00:00:00Z
Verdict:  placed on b

Best of the nodes that fit, with each plugin's score of 100:
NODE         TOTAL   NodeResourcesFit x1   TaintToleration x3
b (chosen)   380     80                    100
a            350     50                    100

Nodes refused:
NODE   PLUGIN             REASONS
c      NodeResourcesFit   Insufficient cpu; Insufficient memory`,
    );
  });
});

describe("serveExplanations", () => {
  async function get(path: string, handler: NonResourceHandler): Promise<unknown> {
    let sent: unknown;
    const context = {
      request: { method: "GET" },
      target: { path },
      response: { send: (_status: number, _headers: unknown, body: Buffer) => (sent = JSON.parse(body.toString())) },
    } as unknown as Parameters<NonResourceHandler>[0];
    assert.equal(await handler(context), true);
    return sent;
  }
  const explain = (pod: string) => Promise.resolve(pod === placed.pod ? placed : undefined);

  it("answers with what the scheduler says", async () => {
    const { queue: _undefined, ...expected } = placed;
    assert.deepEqual(
      await get(
        "/debug/scheduling/default/web",
        serveExplanations(() => ({ explain })),
      ),
      expected,
    );
  });
  it("refuses what it does not know, and says when the scheduler is elsewhere", async () => {
    const handler = serveExplanations(() => ({ explain }));
    await assert.rejects(get("/debug/scheduling/default/other", handler), { code: 404 });
    await assert.rejects(get("/debug/scheduling/default", handler), { code: 400 });
    const elsewhere = serveExplanations(() => ({ explain: () => Promise.resolve("elsewhere" as const) }));
    await assert.rejects(get("/debug/scheduling/default/web", elsewhere), { code: 503 });
    await assert.rejects(
      get(
        "/debug/scheduling/default/web",
        serveExplanations(() => undefined),
      ),
      { code: 503 },
    );
  });
});
