import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";
import { eventsQuery } from "../api/queries.ts";
import type { EventItem } from "../api/types.ts";
import { useColours } from "../lib/colours.ts";
import { type EventFilters, isFiltered, readFilters, writeFilters } from "../lib/filters.ts";
import { count, preview, shortId, time } from "../lib/format.ts";
import { useKeys } from "../lib/keys.ts";
import { type Selection, useSelection } from "../lib/selection.ts";
import { ExportButton } from "../ui/export-button.tsx";
import { FilterBar, TextFilter } from "../ui/filter-bar.tsx";
import { Icon } from "../ui/icons.tsx";
import { EventInspector } from "../ui/inspector.tsx";
import { LookedUp } from "../ui/looked-up.tsx";
import { Empty, Failure, Loading } from "../ui/parts.tsx";
import { TimeRange } from "../ui/time-range.tsx";

const PAGE_EVENTS = 50;

export default function Browse() {
  const [search, setSearch] = useSearchParams();
  const filters = readFilters(search);
  const id = search.get("id");
  const change = (next: EventFilters) => setSearch((before) => writeFilters(before, next));
  const lookUp = (wanted: string | undefined) =>
    setSearch((before) => {
      before.delete("timestamp");
      if (wanted) before.set("id", wanted);
      else before.delete("id");
      return before;
    });

  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Events</h1>
        <div className="head-end">
          <TextFilter
            label="Look up an event by its id"
            placeholder="Look up an id"
            value={id ?? undefined}
            onChange={lookUp}
          />
          <ExportButton filters={filters} />
        </div>
      </header>
      <FilterBar filters={filters} onChange={change} withSession>
        <TimeRange filters={filters} onChange={change} />
      </FilterBar>
      {id && (
        <LookedUp
          id={id}
          timestamp={search.get("timestamp") ?? undefined}
          onClose={() => lookUp(undefined)}
        />
      )}
      <Pages filters={filters} />
    </div>
  );
}

function Pages({ filters }: { filters: EventFilters }) {
  const { page, older, newer } = usePages(filters);
  const items = page.data?.items ?? [];
  const selection = useSelection(items, filters, (index) =>
    document.querySelectorAll("tbody tr")[index]?.scrollIntoView({ block: "nearest" }),
  );
  useKeys({ "]": () => older?.(), "[": () => newer?.() });
  const { opened } = selection;

  return (
    <div className={`split ${opened ? "open" : ""}`}>
      <section className="panel" aria-label="Stored events, newest first">
        {page.error && <Failure error={page.error} onRetry={() => void page.refetch()} />}
        {page.isPending && <Loading lines={12} />}
        {page.data && items.length === 0 && (
          <NoEvents filtered={isFiltered(filters)} onOlder={older} />
        )}
        {items.length > 0 && <EventTable items={items} selection={selection} />}
        <footer className="pager">
          <span className="note">
            {page.data && `${count(items.length)} events on this page, newest first`}
            {page.isFetching && " · reading"}
          </span>
          <button
            type="button"
            className="button"
            title="Read this page again"
            onClick={() => void page.refetch()}
          >
            <Icon name="refresh" size={15} />
            <span className="wide-only">Refresh</span>
          </button>
          <button type="button" className="button" disabled={!newer} onClick={newer}>
            <Icon name="newer" size={15} />
            Newer
          </button>
          <button type="button" className="button" disabled={!older} onClick={older}>
            Older
            <Icon name="older" size={15} />
          </button>
        </footer>
      </section>
      {opened && <EventInspector event={opened} onClose={selection.close} />}
    </div>
  );
}

/** The page that the URL names, and the ways to its neighbours. */
function usePages(filters: EventFilters) {
  const [search, setSearch] = useSearchParams();
  const cursor = search.get("cursor");
  const page = useQuery(eventsQuery(filters, PAGE_EVENTS, cursor));
  const go = (to: string | null) => {
    setSearch((before) => {
      if (to === null) before.delete("cursor");
      else before.set("cursor", to);
      return before;
    });
    window.scrollTo({ top: 0 });
  };
  const next = page.isPlaceholderData ? null : (page.data?.nextCursor ?? null);
  const older = next === null ? undefined : () => go(next);
  const newer =
    cursor === null || page.isPlaceholderData ? undefined : () => go(page.data?.prevCursor ?? null);
  return { page, older, newer };
}

function EventTable(props: { items: EventItem[]; selection: Selection<EventItem> }) {
  const { items, selection } = props;
  const colourOf = useColours();
  return (
    <div className="table-scroll">
      <table className="table rows">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Type</th>
            <th scope="col">User</th>
            <th scope="col" className="wide-only">
              Session
            </th>
            <th scope="col" className="wide-only">
              Data
            </th>
            <th scope="col" className="wide-only">
              Id
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((event) => (
            <tr
              key={event.id}
              className={selection.active === event.id ? "active" : undefined}
              onClick={() => selection.open(event)}
            >
              <td>
                <button type="button" className="row-button">
                  <time dateTime={event.timestamp}>{time(event.timestamp)}</time>
                </button>
              </td>
              <td>
                <span className="type-name">
                  <span className="swatch" style={{ background: colourOf(event.eventType) }} />
                  <span className="ellipsis">{event.eventType}</span>
                </span>
              </td>
              <td className="ellipsis">{event.userId ?? "–"}</td>
              <td className="ellipsis wide-only">{event.sessionId ?? "–"}</td>
              <td className="ellipsis mono soft wide-only data">
                {preview(event.payload, event.metadata)}
              </td>
              <td className="mono soft wide-only" title={event.id}>
                {shortId(event.id)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NoEvents({ filtered, onOlder }: { filtered: boolean; onOlder?: () => void }) {
  if (onOlder) {
    return (
      <Empty title="Nothing on this page, but the search is not over">
        <p>The filter has no index, so it goes step by step.</p>
        <button type="button" className="button" onClick={onOlder}>
          Go on
        </button>
      </Empty>
    );
  }
  return (
    <Empty title={filtered ? "No stored event matches" : "Nothing is stored yet"}>
      {filtered ? <p>Widen the time or clear a filter.</p> : <p>Events show here once stored.</p>}
    </Empty>
  );
}
