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
}

const LINGER_MS = 200;
const BATCH_EVENTS = 50;
/** Nothing queues without a bound; the newest are kept, as they are what is looked at. */
const QUEUE_EVENTS = 500;
const WAIT_FIRST_MS = 1_000;
const WAIT_MAX_MS = 15_000;

export interface Sender {
  send(event: OutgoingEvent): void;
  /** Sends what waits with a request that outlives the page. */
  leave(): void;
  stop(): void;
}

export function sendTo(ingestUrl: string): SenderDeps {
  return {
    now: () => performance.now(),
    post: (body, isLast) =>
      post<Accepted>(`${ingestUrl}/events?ids=none`, body, { keepalive: isLast }),
  };
}

/**
 * Sends events in small batches, one request at a time, and again what got no answer or `503`: a
 * repetition with the same `eventId` is harmless.
 */
export function startSender(deps: SenderDeps, onDelivery: (delivery: Delivery) => void): Sender {
  let queue: OutgoingEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isSending = false;
  let failures = 0;
  let isStopped = false;

  const schedule = (ms: number) => {
    if (timer !== undefined || isSending || isStopped || queue.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void flush(false);
    }, ms);
  };

  const flush = async (isLast: boolean) => {
    const batch = queue.splice(0, BATCH_EVENTS);
    if (batch.length === 0) return;
    const eventIds = batch.map(({ eventId }) => eventId);
    isSending = true;
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
        onDelivery({ eventIds, outcome: "retrying", reason });
      } else {
        onDelivery({ eventIds, outcome: "refused", reason });
      }
    }
    isSending = false;
    const wait = failures === 0 ? LINGER_MS : WAIT_FIRST_MS * 2 ** (failures - 1);
    schedule(Math.min(wait, WAIT_MAX_MS));
  };

  return {
    send(event) {
      queue = [...queue, event].slice(-QUEUE_EVENTS);
      schedule(LINGER_MS);
    },
    leave: () => void flush(true),
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
