import { isTrue } from "../http/target.ts";
import type { FlowRequest } from "./classify.ts";

/** What is known of a resource: how many objects there are and how many watch them. */
export interface ResourceLoad {
  readonly objects: number;
  readonly watchers: number;
}
/** Undefined for a resource that is not served here. */
export type LoadOf = (group: string, version: string, resource: string) => ResourceLoad | undefined;

/** How many seats a request takes, and how many it keeps for a while after its answer. */
export interface Work {
  readonly seats: number;
  readonly finalSeats: number;
  readonly finalMs: number;
}

const MAX_SEATS = 10;
/** No request may take more than this part of its level. */
const MAX_SHARE = 0.15;
const OBJECTS_PER_SEAT = 100;
const WATCHERS_PER_SEAT = 10;
/** What telling the watchers of one seat about a change takes. */
const EVENT_MS = 5;
const WRITES = new Set(["create", "update", "patch", "delete"]);
export const ONE_SEAT: Work = { seats: 1, finalSeats: 0, finalMs: 0 };

/** Long lists take several seats at once; writes that many watch keep seats for what follows them. */
export function estimateWork(request: FlowRequest, nominal: number, loadOf: LoadOf | undefined): Work {
  if (loadOf === undefined || !request.resourceRequest) return ONE_SEAT;
  const list = request.verb === "list" || (request.verb === "watch" && isTrue(request.query.get("sendInitialEvents")));
  if (!list && !WRITES.has(request.verb)) return ONE_SEAT;
  const load = loadOf(request.group, request.version, request.resource);
  if (load === undefined) return ONE_SEAT;
  const most = Math.max(1, Math.min(MAX_SEATS, Math.ceil(nominal * MAX_SHARE)));
  if (list) return { ...ONE_SEAT, seats: clamp(listed(request, load.objects) / OBJECTS_PER_SEAT, most) };
  if (load.watchers < WATCHERS_PER_SEAT) return ONE_SEAT;
  const wanted = Math.ceil(load.watchers / WATCHERS_PER_SEAT);
  const finalSeats = clamp(wanted, most);
  return { seats: 1, finalSeats, finalMs: (wanted * EVENT_MS) / finalSeats };
}

/** Objects a list, or a watch that begins with one, has to look at. */
function listed({ query }: FlowRequest, objects: number): number {
  const limit = Number(query.get("limit") ?? 0);
  const fieldSelector = query.get("fieldSelector") ?? "";
  if (/(?:^|,)metadata\.name==?[^,=!\\]+(?:,|$)/.test(fieldSelector)) return 1;
  // A selector may pass over everything before it has found as many as were asked for.
  const selective = fieldSelector !== "" || query.has("labelSelector");
  return limit > 0 && !selective ? Math.min(limit, objects) : objects;
}

function clamp(seats: number, most: number): number {
  return Math.min(most, Math.max(1, Math.ceil(seats)));
}
