import { ApiError, open, withParams } from "../api/client.ts";
import type { EventItem, LiveMetrics } from "../api/types.ts";
import { parseExact } from "../lib/exact.ts";

/** What a feed asks the server for. */
export interface FeedOptions {
  types?: readonly string[];
  userId?: string;
  sessionId?: string;
  /** Events per second at most; what is beyond it is counted as dropped. */
  rate?: number;
}

export type FeedState =
  | { phase: "connecting" }
  | { phase: "open" }
  /** Not connected; the next attempt is at `retryAt`, Unix ms. */
  | { phase: "waiting"; retryAt: number; attempts: number }
  /** The request is wrong: it is not made again until `retry`. */
  | { phase: "refused"; error: ApiError }
  | { phase: "closed" };

export interface FeedHandlers {
  onEvent(event: EventItem): void;
  onState(state: FeedState): void;
  onMetrics?(metrics: LiveMetrics): void;
  onDropped?(count: number): void;
  /** What was missed while away is no longer kept. */
  onReset?(reason: string): void;
}

export interface Feed {
  /** Connects at once, whether it waits, is paused or was refused. */
  retry(): void;
  /** Disconnects until `retry`. */
  pause(): void;
  close(): void;
}

/** What a feed needs of the browser; tests bring their own. */
export interface FeedDeps {
  open(url: string): EventSource;
  /** Requests the same; fails with the error that `EventSource` does not tell. */
  ask(url: string, signal: AbortSignal): Promise<unknown>;
  now(): number;
  random(): number;
}

const browser: FeedDeps = {
  open: (url) => new EventSource(url),
  ask: (url, signal) => open(url, { cache: "no-store", signal }),
  now: Date.now,
  random: Math.random,
};

const WAIT_FIRST_MS = 1_000;
const WAIT_MAX_MS = 15_000;
/** Three heartbeats of the server: a connection that died silently shows within this time. */
const SILENCE_MS = 45_000;
/** Answers that blame the request, and yet may be others the next time. */
const PASSING = [408, 429];

/**
 * Follows the live stream until it is closed.
 *
 * Reconnecting is done here and not left to `EventSource`: that gives up for good when the answer
 * is no stream (a restarting service behind a proxy), and does not tell when it tries again. The
 * last id goes along as a parameter, so that nothing is missed or repeated inside the kept window.
 */
export function openFeed(
  options: FeedOptions,
  handlers: FeedHandlers,
  deps: FeedDeps = browser,
): Feed {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let question: AbortController | undefined;
  let lastEventId = "";
  let attempts = 0;
  let closed = false;

  const disconnect = () => {
    clearTimeout(timer);
    clearTimeout(silence);
    question?.abort();
    source?.close();
    source = undefined;
  };

  const wait = () => {
    disconnect();
    if (closed) return;
    attempts += 1;
    const ms = Math.min(WAIT_FIRST_MS * 2 ** (attempts - 1), WAIT_MAX_MS);
    const jittered = Math.round(ms * (0.75 + 0.5 * deps.random()));
    timer = setTimeout(connect, jittered);
    handlers.onState({ phase: "waiting", retryAt: deps.now() + jittered, attempts });
  };

  // Beside the waiting, which it ends if the request itself is what is wrong.
  const ask = async (url: string) => {
    const asking = new AbortController();
    question = asking;
    try {
      await deps.ask(url, asking.signal);
      // It is let in by now: so will be the next attempt, and this answer is not read.
      asking.abort();
    } catch (error) {
      if (asking.signal.aborted || !isRefusal(error)) return;
      disconnect();
      attempts = 0;
      handlers.onState({ phase: "refused", error });
    }
  };

  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(wait, SILENCE_MS);
  };

  const connect = () => {
    disconnect();
    if (attempts === 0) handlers.onState({ phase: "connecting" });
    const { types, ...rest } = options;
    const url = withParams("/stream", { type: types, ...rest, lastEventId });
    const opened = deps.open(url);
    source = opened;
    let hasOpened = false;
    opened.onopen = () => {
      hasOpened = true;
      attempts = 0;
      alive();
      handlers.onState({ phase: "open" });
    };
    opened.onerror = () => {
      wait();
      if (!hasOpened && !closed) void ask(url);
    };
    const on = <T>(name: string, take: (data: T) => void) => {
      opened.addEventListener(name, (frame: MessageEvent<string>) => {
        if (source !== opened) return;
        alive();
        if (frame.lastEventId !== "") lastEventId = frame.lastEventId;
        const data = parsed<T>(frame.data);
        if (data !== undefined) take(data);
      });
    };
    on<EventItem>("event", (event) => handlers.onEvent(event));
    on<LiveMetrics>("metrics", (metrics) => handlers.onMetrics?.(metrics));
    on<{ count: number }>("dropped", ({ count }) => handlers.onDropped?.(count));
    on<{ reason: string }>("reset", ({ reason }) => {
      lastEventId = "";
      handlers.onReset?.(reason);
    });
  };

  connect();
  return {
    retry: connect,
    pause() {
      disconnect();
      handlers.onState({ phase: "closed" });
    },
    close() {
      closed = true;
      disconnect();
      handlers.onState({ phase: "closed" });
    },
  };
}

function isRefusal(error: unknown): error is ApiError {
  if (!(error instanceof ApiError) || error.retryable) return false;
  return error.status >= 400 && error.status < 500 && !PASSING.includes(error.status);
}

function parsed<T>(text: string): T | undefined {
  try {
    return parseExact(text) as T;
  } catch {
    return undefined;
  }
}
