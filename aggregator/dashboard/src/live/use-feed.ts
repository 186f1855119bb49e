import { useEffect, useRef, useState } from "react";
import type { EventItem, LiveMetrics } from "../api/types.ts";
import { type Feed, type FeedOptions, type FeedState, openFeed } from "./feed.ts";
import { append, breakOff, drop, EMPTY_TAIL, type Tail } from "./tail.ts";

/** Often enough to feel immediate, seldom enough for 1,000 events/s. */
const FLUSH_MS = 100;
/** A hidden tab disconnects after this time, and resumes when it is looked at again. */
const HIDDEN_MS = 20_000;

export interface LiveFeed {
  tail: Tail;
  setTail: (change: (tail: Tail) => Tail) => void;
  state: FeedState;
  metrics: LiveMetrics | null;
  retry: () => void;
}

/** Follows the live stream with these options while the component is there. */
export function useFeed(options: FeedOptions): LiveFeed {
  const [tail, setTail] = useState<Tail>(EMPTY_TAIL);
  const [state, setState] = useState<FeedState>({ phase: "connecting" });
  const [metrics, setMetrics] = useState<LiveMetrics | null>(null);
  const feed = useRef<Feed | null>(null);
  // The options by value: an equal object is no reason to connect again.
  const key = JSON.stringify(options);

  useEffect(() => {
    let arrived: EventItem[] = [];
    setTail((before) => ({ ...EMPTY_TAIL, isHolding: before.isHolding }));
    const flush = setInterval(() => {
      if (arrived.length === 0) return;
      const events = arrived;
      arrived = [];
      setTail((before) => append(before, events));
    }, FLUSH_MS);
    const opened = openFeed(JSON.parse(key) as FeedOptions, {
      onEvent: (event) => arrived.push(event),
      onState: setState,
      onMetrics: setMetrics,
      onDropped: (count) => setTail((before) => drop(before, count)),
      onReset: () => setTail(breakOff),
    });
    feed.current = opened;
    const stopWatching = whileHidden(
      () => opened.pause(),
      () => opened.retry(),
    );
    return () => {
      stopWatching();
      clearInterval(flush);
      opened.close();
      feed.current = null;
    };
  }, [key]);

  return { tail, setTail, state, metrics, retry: () => feed.current?.retry() };
}

function whileHidden(sleep: () => void, wake: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asleep = false;
  const changed = () => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") {
      timer = setTimeout(() => {
        asleep = true;
        sleep();
      }, HIDDEN_MS);
    } else if (asleep) {
      asleep = false;
      wake();
    }
  };
  document.addEventListener("visibilitychange", changed);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", changed);
  };
}
