import type { EventItem } from "../api/types.ts";

/** How many events a tail shows, and how many it holds back while it is paused. */
export const TAIL_EVENTS = 2_000;

/** What a live list shows, newest first, and what it holds back. A value: it never changes. */
export interface Tail {
  readonly shown: readonly EventItem[];
  readonly held: readonly EventItem[];
  readonly isHolding: boolean;
  /** Held back and thrown away again, since there were too many. */
  readonly forgotten: number;
  /** Left out by the server: too many for the rate asked for, or for this client. */
  readonly dropped: number;
  /** Received since the beginning. */
  readonly received: number;
  /** Shown since the beginning: numbers the rows, as an event that is sent twice comes twice. */
  readonly placed: number;
  /** How many were received when the feed began anew: events may be missing there. */
  readonly gap: number | null;
}

export const EMPTY_TAIL: Tail = {
  shown: [],
  held: [],
  isHolding: false,
  forgotten: 0,
  dropped: 0,
  received: 0,
  placed: 0,
  gap: null,
};

/** Adds events in the order they came. */
export function append(tail: Tail, events: readonly EventItem[]): Tail {
  if (events.length === 0) return tail;
  const received = tail.received + events.length;
  // By then the place has left the list.
  const gap = tail.gap !== null && received - tail.gap > TAIL_EVENTS ? null : tail.gap;
  const newestFirst = [...events].reverse();
  if (!tail.isHolding) {
    const shown = newestFirst.concat(tail.shown).slice(0, TAIL_EVENTS);
    return { ...tail, received, gap, shown, placed: tail.placed + events.length };
  }
  const held = newestFirst.concat(tail.held);
  const excess = Math.max(0, held.length - TAIL_EVENTS);
  return {
    ...tail,
    received,
    gap,
    held: excess === 0 ? held : held.slice(0, TAIL_EVENTS),
    forgotten: tail.forgotten + excess,
  };
}

export function hold(tail: Tail): Tail {
  return tail.isHolding ? tail : { ...tail, isHolding: true };
}

/** Shows what was held back, and goes on. */
export function release(tail: Tail): Tail {
  if (!tail.isHolding) return tail;
  const shown = tail.held.concat(tail.shown).slice(0, TAIL_EVENTS);
  const placed = tail.placed + tail.held.length;
  return { ...tail, shown, placed, held: [], isHolding: false, forgotten: 0 };
}

export function clear(tail: Tail): Tail {
  return { ...EMPTY_TAIL, isHolding: tail.isHolding, placed: tail.placed };
}

export function drop(tail: Tail, count: number): Tail {
  return { ...tail, dropped: tail.dropped + count };
}

export function breakOff(tail: Tail): Tail {
  return { ...tail, gap: tail.received };
}

/** Says no more that events may be missing. */
export function mend(tail: Tail): Tail {
  return { ...tail, gap: null };
}

/** How many events wait to be shown. */
export function waiting(tail: Tail): number {
  return tail.held.length + tail.forgotten;
}
