import { ApiError, post } from "../api/client.ts";
import type { Accepted } from "../api/types.ts";

/** What ingest takes; with `eventId` and `timestamp` it may be sent again. */
export interface OutgoingEvent {
  eventId: string;
  eventType: string;
  timestamp: number;
  userId: string;
  sessionId: string;
  payload: Record<string, unknown>;
}

export type Delivery =
  | { eventIds: string[]; outcome: "accepted"; tookMs: number }
  | { eventIds: string[]; outcome: "refused"; reason: string }
  | { eventIds: string[]; outcome: "retrying"; reason: string };

export interface SenderDeps {
  post: (body: OutgoingEvent[], isLast: boolean) => Promise<Accepted>;
  now: () => number;
  /** What was left over by the page before; they are given out once. */
  leftOver: () => OutgoingEvent[];
  keep: (events: OutgoingEvent[]) => void;
}

const LINGER_MS = 200;
const BATCH_EVENTS = 50;
/** Nothing queues without a bound; the newest are kept, as they are what is looked at. */
const QUEUE_EVENTS = 500;
/** A browser lets 64 KiB outlive a page, in all requests together. */
const LAST_BYTES = 60_000;
const LEFT_OVER = "evp-left-over";
const WAIT_FIRST_MS = 1_000;
const WAIT_MAX_MS = 15_000;

export interface Sender {
  send(event: OutgoingEvent): void;
  /**
   * Sends what has no answer yet with a request that outlives the page; what is too much for one is
   * kept for the next page of the tab.
   */
  leave(): void;
  stop(): void;
}

/** Sends events of `tenant` with these headers: what is left over is never sent as another's. */
export function sendTo(
  ingestUrl: string,
  tenant: string,
  headers: Record<string, string>,
): SenderDeps {
  const name = `${LEFT_OVER}-${tenant}`;
  return {
    now: () => performance.now(),
    post: (body, isLast) =>
      post<Accepted>(`${ingestUrl}/events?ids=none`, body, { keepalive: isLast, headers }),
    leftOver() {
      const text = sessionStorage.getItem(name);
      sessionStorage.removeItem(name);
      return text === null ? [] : JSON.parse(text);
    },
    keep: (events) => sessionStorage.setItem(name, JSON.stringify(events)),
  };
}

/**
 * Sends events in small batches, one request at a time, and again what got no answer or `503`: a
 * repetition with the same `eventId` is harmless.
 */
export function startSender(deps: SenderDeps, onDelivery: (delivery: Delivery) => void): Sender {
  let queue = deps.leftOver();
  /** Sent, and not answered yet. */
  let underWay: OutgoingEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let isStopped = false;

  const schedule = (ms: number) => {
    if (timer !== undefined || underWay.length > 0 || isStopped || queue.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void flush(queue.splice(0, BATCH_EVENTS), false);
    }, ms);
  };

  const flush = async (batch: OutgoingEvent[], isLast: boolean) => {
    if (batch.length === 0) return;
    const eventIds = batch.map(({ eventId }) => eventId);
    underWay = batch;
    const began = deps.now();
    try {
      await deps.post(batch, isLast);
      failures = 0;
      onDelivery({ eventIds, outcome: "accepted", tookMs: deps.now() - began });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (error instanceof ApiError && error.retryable) {
        failures += 1;
        queue = [...batch, ...queue].slice(-QUEUE_EVENTS);
        if (isStopped) deps.keep(queue);
        onDelivery({ eventIds, outcome: "retrying", reason });
      } else {
        onDelivery({ eventIds, outcome: "refused", reason });
      }
    }
    if (underWay === batch) underWay = [];
    const wait = failures === 0 ? LINGER_MS : WAIT_FIRST_MS * 2 ** (failures - 1);
    schedule(Math.min(wait, WAIT_MAX_MS));
  };

  schedule(LINGER_MS);
  return {
    send(event) {
      queue = [...queue, event].slice(-QUEUE_EVENTS);
      schedule(LINGER_MS);
    },
    leave() {
      // What is under way ends with the page: sent once more, it is still stored once.
      const waiting = [...underWay, ...queue];
      const last = waiting.slice(0, fitting(waiting));
      queue = waiting.slice(last.length);
      if (queue.length > 0) deps.keep(queue);
      void flush(last, true);
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

/** How many of these may outlive the page. */
function fitting(events: OutgoingEvent[]): number {
  let bytes = 0;
  const encoder = new TextEncoder();
  const beyond = events.findIndex((event) => {
    bytes += encoder.encode(JSON.stringify(event)).length + 1;
    return bytes > LAST_BYTES;
  });
  return beyond < 0 ? events.length : beyond;
}
