import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/client.ts";
import { startCapture } from "../src/capture/capture.ts";
import { arrived, captured, delivered, type Ledger } from "../src/capture/ledger.ts";
import { type Delivery, type OutgoingEvent, startSender } from "../src/capture/sender.ts";

const outgoing = (eventId: string): OutgoingEvent => ({
  eventId,
  eventType: "click",
  timestamp: 1_000,
  userId: "u",
  sessionId: "s",
  payload: {},
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

describe("capture", () => {
  function start() {
    const area = document.createElement("div");
    area.innerHTML = `<button aria-label="Buy">x</button><input type="password" value="secret">`;
    document.body.append(area);
    const events: [string, Record<string, unknown>][] = [];
    const stop = startCapture(area, (type, payload) => events.push([type, payload]));
    return { area, events, stop, types: () => events.map(([type]) => type) };
  }

  it("tells of page loads and clicks, with the label of what was clicked", () => {
    const { area, events, types } = start();
    area.querySelector("button")?.click();
    expect(types()).toEqual(["page_load", "click"]);
    expect(events[1]?.[1]).toMatchObject({ element: "button", label: "Buy" });
  });

  it("never tells of keys, nor of what is in a field", () => {
    const { area, events, types } = start();
    const input = area.querySelector("input");
    input?.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
    input?.dispatchEvent(new Event("input", { bubbles: true }));
    input?.click();
    expect(types()).toEqual(["page_load", "click"]);
    expect(JSON.stringify(events)).not.toContain("secret");
  });

  it("throttles moves and waits for the end of a scroll", () => {
    const { area, types } = start();
    for (let at = 0; at < 10; at += 1) {
      area.dispatchEvent(new MouseEvent("mousemove", { clientX: at }));
      area.dispatchEvent(new Event("scroll"));
      vi.advanceTimersByTime(100);
    }
    expect(types().filter((type) => type === "mousemove")).toHaveLength(2);
    expect(types()).not.toContain("scroll");
    vi.advanceTimersByTime(300);
    expect(types().filter((type) => type === "scroll")).toHaveLength(1);
  });

  it("ends", () => {
    const { area, stop, types } = start();
    area.dispatchEvent(new Event("scroll"));
    stop();
    area.querySelector("button")?.click();
    vi.advanceTimersByTime(1_000);
    expect(types()).toEqual(["page_load"]);
  });
});

describe("the sender", () => {
  const ok = { accepted: 1, duplicates: 0, rejectedCount: 0, rejected: [] };

  let kept: OutgoingEvent[] = [];
  beforeEach(() => {
    kept = [];
  });

  function start(post: (body: OutgoingEvent[], isLast: boolean) => Promise<typeof ok>) {
    const deliveries: Delivery[] = [];
    const deps = {
      post,
      now: () => Date.now(),
      leftOver: () => kept.splice(0),
      keep: (events: OutgoingEvent[]) => {
        kept = [...events];
      },
    };
    const sender = startSender(deps, (each) => deliveries.push(each));
    return { sender, deliveries };
  }

  it("sends what comes together in one request", async () => {
    const bodies: string[][] = [];
    const { sender, deliveries } = start((body) => {
      bodies.push(body.map(({ eventId }) => eventId));
      return Promise.resolve(ok);
    });
    sender.send(outgoing("a"));
    sender.send(outgoing("b"));
    await vi.advanceTimersByTimeAsync(200);
    expect(bodies).toEqual([["a", "b"]]);
    expect(deliveries[0]).toMatchObject({ outcome: "accepted", eventIds: ["a", "b"] });
  });

  it("sends again what was not accepted, under the same ids, and waits in between", async () => {
    const bodies: string[][] = [];
    const { sender, deliveries } = start((body) => {
      bodies.push(body.map(({ eventId }) => eventId));
      return bodies.length < 3 ? Promise.reject(new ApiError(503, {})) : Promise.resolve(ok);
    });
    sender.send(outgoing("a"));
    await vi.advanceTimersByTimeAsync(200);
    expect(bodies).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(bodies).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_001);
    expect(bodies).toEqual([["a"], ["a"], ["a"]]);
    expect(deliveries.map(({ outcome }) => outcome)).toEqual(["retrying", "retrying", "accepted"]);
  });

  it("sends all that waits, and what has no answer, when the page is left", async () => {
    const last: string[] = [];
    const { sender } = start((body, isLast) => {
      if (!isLast) return new Promise(() => {});
      last.push(...body.map(({ eventId }) => eventId));
      return Promise.resolve(ok);
    });
    const ids = Array.from({ length: 120 }, (_, at) => `e${at}`);
    for (const id of ids.slice(0, 60)) sender.send(outgoing(id));
    await vi.advanceTimersByTimeAsync(200);
    for (const id of ids.slice(60)) sender.send(outgoing(id));
    sender.leave();
    sender.stop();
    expect(last).toEqual(ids);
    expect(kept).toEqual([]);
  });

  it("keeps for the next page what is more than may outlive this one", async () => {
    const sent: string[] = [];
    const sizes: number[] = [];
    const post = (body: OutgoingEvent[], isLast: boolean) => {
      sent.push(...body.map(({ eventId }) => eventId));
      if (isLast) sizes.push(new TextEncoder().encode(JSON.stringify(body)).length);
      return Promise.resolve(ok);
    };
    const { sender } = start(post);
    const ids = Array.from({ length: 500 }, (_, at) => `e${at}`);
    for (const id of ids) sender.send({ ...outgoing(id), payload: { label: "ü".repeat(60) } });
    sender.leave();
    sender.stop();
    expect(sizes).toHaveLength(1);
    expect(sizes[0]).toBeLessThan(64 * 1024);
    expect(sent.length).toBeGreaterThan(200);
    expect(kept).toHaveLength(500 - sent.length);
    start(post);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toEqual(ids);
    expect(kept).toEqual([]);
  });

  it("keeps what is refused for now after the page was left", async () => {
    const { sender } = start(() => Promise.reject(new ApiError(503, {})));
    sender.send(outgoing("a"));
    sender.leave();
    sender.stop();
    await vi.advanceTimersByTimeAsync(0);
    expect(kept.map(({ eventId }) => eventId)).toEqual(["a"]);
  });

  it("gives up what is wrong", async () => {
    const post = vi.fn(() => Promise.reject(new ApiError(400, { title: "wrong" })));
    const { sender, deliveries } = start(post);
    sender.send(outgoing("a"));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(post).toHaveBeenCalledTimes(1);
    expect(deliveries).toEqual([{ eventIds: ["a"], outcome: "refused", reason: "wrong" }]);
  });
});

describe("the ledger", () => {
  const one: Ledger = captured([], outgoing("a"));

  it("follows an event from capture to arrival", () => {
    const accepted = delivered(one, { eventIds: ["a"], outcome: "accepted", tookMs: 12 });
    expect(accepted[0]).toMatchObject({ progress: "accepted", acceptedInMs: 12 });
    const there = arrived(accepted, new Set(["a"]), 1_180);
    expect(there[0]).toMatchObject({ progress: "arrived", arrivedInMs: 180, acceptedInMs: 12 });
  });

  it("does not step back when the stream is faster than the answer", () => {
    const there = arrived(one, new Set(["a"]), 1_050);
    const late = delivered(there, { eventIds: ["a"], outcome: "accepted", tookMs: 60 });
    expect(late[0]).toMatchObject({ progress: "arrived", acceptedInMs: 60 });
  });
});
