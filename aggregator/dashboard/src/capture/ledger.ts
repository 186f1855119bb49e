import type { Delivery, OutgoingEvent } from "./sender.ts";

/** How far an event has come. */
export type Progress = "waiting" | "retrying" | "refused" | "accepted" | "arrived";

export interface Entry {
  event: OutgoingEvent;
  progress: Progress;
  /** Unix ms. */
  capturedAt: number;
  acceptedInMs?: number;
  arrivedInMs?: number;
  reason?: string;
}

const ENTRIES_MAX = 200;

/** What was captured and what became of it, newest first. A value: it never changes. */
export type Ledger = readonly Entry[];

export function captured(ledger: Ledger, event: OutgoingEvent): Ledger {
  const entry: Entry = { event, progress: "waiting", capturedAt: event.timestamp };
  return [entry, ...ledger].slice(0, ENTRIES_MAX);
}

export function delivered(ledger: Ledger, delivery: Delivery): Ledger {
  const ids = new Set(delivery.eventIds);
  return ledger.map((entry) => {
    // The live stream may be faster than the answer of ingest.
    if (!ids.has(entry.event.eventId) || entry.progress === "arrived") {
      return ids.has(entry.event.eventId) && delivery.outcome === "accepted"
        ? { ...entry, acceptedInMs: delivery.tookMs }
        : entry;
    }
    return delivery.outcome === "accepted"
      ? { ...entry, progress: "accepted", acceptedInMs: delivery.tookMs, reason: undefined }
      : { ...entry, progress: delivery.outcome, reason: delivery.reason };
  });
}

export function arrived(ledger: Ledger, eventIds: ReadonlySet<string>, now: number): Ledger {
  return ledger.map((entry) =>
    eventIds.has(entry.event.eventId) && entry.progress !== "arrived"
      ? { ...entry, progress: "arrived", arrivedInMs: Math.max(0, now - entry.capturedAt) }
      : entry,
  );
}
