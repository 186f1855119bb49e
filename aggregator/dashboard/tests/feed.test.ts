import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/client.ts";
import type { EventItem } from "../src/api/types.ts";
import { type FeedState, openFeed } from "../src/live/feed.ts";

/** Stands in for the browser's EventSource; the test plays the server. */
class FakeSource extends EventTarget {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  isClosed = false;
  readonly url: URL;

  constructor(url: string) {
    super();
    this.url = new URL(url, "http://evp");
  }

  close(): void {
    this.isClosed = true;
  }

  frame(name: string, data: unknown, lastEventId = ""): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId }));
  }
}

/** What comes of asking without an EventSource. */
type Answer = (signal: AbortSignal) => Promise<unknown>;

function failing(status: number, problem: Record<string, unknown> = {}): Answer {
  return () => Promise.reject(new ApiError(status, problem));
}

function start(options = {}, ask = failing(0)) {
  const sources: FakeSource[] = [];
  const states: FeedState[] = [];
  const events: string[] = [];
  const dropped: number[] = [];
  const resets: string[] = [];
  const feed = openFeed(
    options,
    {
      onEvent: (event) => events.push(event.id),
      onState: (state) => states.push(state),
      onDropped: (count) => dropped.push(count),
      onReset: (reason) => resets.push(reason),
    },
    {
      open: (url) => {
        const source = new FakeSource(url);
        sources.push(source);
        return source as unknown as EventSource;
      },
      ask: (_url, signal) => ask(signal),
      now: Date.now,
      random: () => 0.5,
    },
  );
  const latest = () => sources.at(-1) as FakeSource;
  return { feed, sources, states, events, dropped, resets, latest };
}

const event = (id: string): EventItem => ({ id, eventType: "click", timestamp: "2026-01-01" });

describe("openFeed", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("asks the server to filter", () => {
    const { latest } = start({ types: ["a", "b"], userId: "u 1", rate: 50 });
    expect(latest().url.pathname).toBe("/stream");
    expect(latest().url.searchParams.getAll("type")).toEqual(["a", "b"]);
    expect(latest().url.searchParams.get("userId")).toBe("u 1");
    expect(latest().url.searchParams.has("lastEventId")).toBe(false);
  });

  it("goes on after the last event it has seen when the connection breaks", () => {
    const { sources, latest, events, states } = start();
    latest().onopen?.();
    latest().frame("event", event("one"), "c1");
    latest().onerror?.();
    expect(sources[0]?.isClosed).toBe(true);
    expect(states.at(-1)).toMatchObject({ phase: "waiting", attempts: 1 });
    vi.advanceTimersByTime(1_000);
    expect(sources).toHaveLength(2);
    expect(latest().url.searchParams.get("lastEventId")).toBe("c1");
    latest().onopen?.();
    latest().frame("event", event("two"), "c2");
    expect(events).toEqual(["one", "two"]);
    expect(states.at(-1)).toEqual({ phase: "open" });
  });

  it("waits longer each time, up to a bound, and at once when told to", () => {
    const { feed, latest, states, sources } = start();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      latest().onerror?.();
      const state = states.at(-1);
      if (state?.phase !== "waiting") throw new Error(`it is ${state?.phase}`);
      waits.push(state.retryAt - Date.now());
      vi.advanceTimersByTime(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    latest().onerror?.();
    const before = sources.length;
    feed.retry();
    expect(sources).toHaveLength(before + 1);
  });

  it("ends when the request is refused, says why, and tries again only when told to", async () => {
    const detail = "type: no type may begin with __";
    const { feed, latest, states, sources } = start({}, failing(400, { detail }));
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sources).toHaveLength(1);
    expect(states.at(-1)).toMatchObject({ phase: "refused", error: { message: detail } });
    feed.retry();
    expect(sources).toHaveLength(2);
    expect(states.at(-1)).toEqual({ phase: "connecting" });
    latest().onopen?.();
    expect(states.at(-1)).toEqual({ phase: "open" });
  });

  it.each([429, 503])("goes on trying after a %i", async (status) => {
    const { latest, states, sources } = start({}, failing(status));
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)).toMatchObject({ phase: "waiting" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sources).toHaveLength(2);
  });

  it("does not ask why when a connection breaks that was open, and reads no answer", async () => {
    const signals: AbortSignal[] = [];
    const { latest } = start({}, (signal) => Promise.resolve(signals.push(signal)));
    latest().onopen?.();
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(signals).toHaveLength(0);
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it("says nothing of a refusal once it is closed", async () => {
    const { feed, latest, states } = start({}, failing(400));
    latest().onerror?.();
    feed.close();
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)).toEqual({ phase: "closed" });
  });

  it("takes a silent connection for a dead one", () => {
    const { latest, sources } = start();
    latest().onopen?.();
    vi.advanceTimersByTime(44_000);
    latest().frame("metrics", {});
    vi.advanceTimersByTime(44_000);
    expect(sources).toHaveLength(1);
    vi.advanceTimersByTime(3_000);
    expect(sources).toHaveLength(2);
  });

  it("begins anew after a reset and says so", () => {
    const { latest, resets, dropped } = start();
    latest().onopen?.();
    latest().frame("event", event("one"), "c1");
    latest().frame("dropped", { count: 7 });
    latest().frame("reset", { reason: "too old" });
    expect(resets).toEqual(["too old"]);
    expect(dropped).toEqual([7]);
    latest().onerror?.();
    vi.advanceTimersByTime(1_000);
    expect(latest().url.searchParams.has("lastEventId")).toBe(false);
  });

  it("is over when it is closed", () => {
    const { feed, sources, events, latest } = start();
    latest().onopen?.();
    feed.close();
    latest().frame("event", event("late"), "c9");
    vi.advanceTimersByTime(120_000);
    expect(sources).toHaveLength(1);
    expect(events).toEqual([]);
  });
});
