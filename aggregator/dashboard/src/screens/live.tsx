import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { Link, useSearchParams } from "wouter";
import type { EventItem } from "../api/types.ts";
import { useColours } from "../lib/colours.ts";
import { type EventFilters, isFiltered, readFilters, writeFilters } from "../lib/filters.ts";
import { count, preview, rate, time } from "../lib/format.ts";
import { useKeys } from "../lib/keys.ts";
import { type Selection, useSelection } from "../lib/selection.ts";
import { clear, hold, mend, release, type Tail, waiting } from "../live/tail.ts";
import { type LiveFeed, useFeed } from "../live/use-feed.ts";
import { FeedStatus } from "../ui/feed-status.tsx";
import { FilterBar } from "../ui/filter-bar.tsx";
import { Icon } from "../ui/icons.tsx";
import { EventInspector } from "../ui/inspector.tsx";
import { Empty, Failure, Notice, Scroll } from "../ui/parts.tsx";

const RATES = ["10", "50", "200", "1000"] as const;
const RATE_DEFAULT = "50";
/** As in screens.css: virtual rows have one height. */
const ROW_PX = 32;

export default function Live() {
  const [search, setSearch] = useSearchParams();
  const filters = readFilters(search);
  const perSecond = RATES.find((each) => each === search.get("rate")) ?? RATE_DEFAULT;
  const feed = useFeed({
    types: filters.types,
    userId: filters.userId,
    rate: Number(perSecond),
  });
  const { tail, setTail } = feed;
  const toggle = () => setTail((before) => (before.isHolding ? release(before) : hold(before)));
  useKeys({ " ": toggle });

  const chooseRate = (value: string) =>
    setSearch((before) => {
      if (value === RATE_DEFAULT) before.delete("rate");
      else before.set("rate", value);
      return before;
    });

  return (
    <div className="screen fill">
      <header className="screen-head">
        <h1>Live</h1>
        <FeedStatus state={feed.state} retry={feed.retry} />
        <div className="head-end">
          <button type="button" className="button" onClick={() => setTail(clear)}>
            Clear
          </button>
          <button
            type="button"
            className={`button ${tail.isHolding ? "primary" : ""}`}
            aria-pressed={tail.isHolding}
            onClick={toggle}
          >
            <Icon name={tail.isHolding ? "play" : "pause"} size={15} />
            {tail.isHolding ? "Resume" : "Pause"}
          </button>
        </div>
      </header>
      <FilterBar
        filters={filters}
        onChange={(next) => setSearch((before) => writeFilters(before, next))}
      >
        <label className="field select">
          <span>at most</span>
          <select value={perSecond} onChange={(event) => chooseRate(event.target.value)}>
            {RATES.map((value) => (
              <option key={value} value={value}>
                {value}/s
              </option>
            ))}
          </select>
        </label>
      </FilterBar>
      <Summary feed={feed} />
      {tail.gap !== null && (
        <Notice
          tone="warn"
          action={
            <button type="button" className="button" onClick={() => setTail(mend)}>
              Dismiss
            </button>
          }
        >
          The stream began anew: events may be missing here, none is missing in storage.{" "}
          <Link href="/browse">Look among the stored ones</Link>.
        </Notice>
      )}
      <Stream feed={feed} filters={filters} />
    </div>
  );
}

/** What is shown out of what there is, in words. */
function Summary({ feed }: { feed: LiveFeed }) {
  const { tail, metrics } = feed;
  return (
    <p className="summary" aria-live="off">
      <span>
        <b>{count(tail.received)}</b> received
      </span>
      {metrics && (
        <span>
          <b>{rate(metrics.perSecond)}</b>/s arrive in all
        </span>
      )}
      {tail.dropped > 0 && (
        <span
          className="dropped"
          title="The server left them out of this list to keep the rate asked for. They are stored."
        >
          <b>{count(tail.dropped)}</b> not shown here
        </span>
      )}
    </p>
  );
}

function Stream({ feed, filters }: { feed: LiveFeed; filters: EventFilters }) {
  const { tail, setTail } = feed;
  const viewport = useRef<HTMLElement>(null);
  const colourOf = useColours();
  const rows = useVirtualizer({
    count: tail.shown.length,
    getScrollElement: () => viewport.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    getItemKey: (index) => tail.placed - index,
  });
  const selection = useSelection(tail.shown, filters, (index) => {
    setTail(hold);
    rows.scrollToIndex(index);
  });
  const resume = () => {
    viewport.current?.scrollTo({ top: 0 });
    setTail(release);
  };
  // Whoever reads further down is not to have the rows move away under them.
  const scrolled = () => {
    if ((viewport.current?.scrollTop ?? 0) > ROW_PX) setTail(hold);
  };
  const opened = selection.opened;
  return (
    <div className={`split ${opened ? "open" : ""}`}>
      <section className="panel stream" aria-label="Stream">
        {tail.isHolding && <Held tail={tail} onResume={resume} />}
        <div className="stream-head" aria-hidden="true">
          <span>Time</span>
          <span>Type</span>
          <span>User</span>
          <span>Data</span>
        </div>
        <Scroll
          ref={viewport}
          className="stream-rows"
          label="Events, newest first"
          onScroll={scrolled}
        >
          {tail.shown.length === 0 && <Quiet feed={feed} filtered={isFiltered(filters)} />}
          <ul style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map((row) => {
              const event = tail.shown[row.index];
              return (
                event && (
                  <Row
                    key={row.key}
                    event={event}
                    top={row.start}
                    colour={colourOf(event.eventType)}
                    selection={selection}
                    onOpen={() => setTail(hold)}
                  />
                )
              );
            })}
          </ul>
        </Scroll>
      </section>
      {opened && <EventInspector event={opened} onClose={selection.close} />}
    </div>
  );
}

interface RowProps {
  event: EventItem;
  top: number;
  colour: string;
  selection: Selection<EventItem>;
  onOpen: () => void;
}

function Row({ event, top, colour, selection, onOpen }: RowProps) {
  const isActive = selection.active === event.id;
  return (
    <li style={{ transform: `translateY(${top}px)` }}>
      <button
        type="button"
        className={`stream-row ${isActive ? "active" : ""}`}
        onClick={() => {
          onOpen();
          selection.open(event);
        }}
      >
        <time dateTime={event.timestamp}>{time(event.timestamp)}</time>
        <span className="type-name">
          <span className="swatch" style={{ background: colour }} />
          <span className="ellipsis">{event.eventType}</span>
        </span>
        <span className="ellipsis">{event.userId ?? "–"}</span>
        <span className="ellipsis soft mono">{preview(event.payload, event.metadata)}</span>
      </button>
    </li>
  );
}

function Held({ tail, onResume }: { tail: Tail; onResume: () => void }) {
  const held = waiting(tail);
  return (
    <button type="button" className="held" onClick={onResume}>
      <span aria-live="polite">
        {held === 0 ? "Paused" : `Paused: ${count(held)} new`}
        {tail.forgotten > 0 && `, the latest ${count(tail.held.length)} kept`}
      </span>
      <b>Resume</b>
    </button>
  );
}

function Quiet({ feed, filtered }: { feed: LiveFeed; filtered: boolean }) {
  const { state, retry } = feed;
  if (state.phase === "refused") return <Failure error={state.error} onRetry={retry} />;
  if (state.phase !== "open") {
    return <Empty title="Waiting for the stream" />;
  }
  return (
    <Empty title={filtered ? "No event that matches has arrived yet" : "Listening"}>
      {filtered ? (
        <p>This list shows what arrives from now on.</p>
      ) : (
        <p>
          Events show here the moment they are accepted. <Link href="/start">Send one</Link>, or run{" "}
          <code>make demo</code>.
        </p>
      )}
    </Empty>
  );
}
