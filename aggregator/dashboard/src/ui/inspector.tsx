import { type ReactNode, useEffect, useRef } from "react";
import { Link } from "wouter";
import type { EventItem } from "../api/types.ts";
import { useColours } from "../lib/colours.ts";
import { linkTo } from "../lib/filters.ts";
import { time } from "../lib/format.ts";
import { Json } from "./json.tsx";
import { CopyButton, IconButton, TypeName } from "./parts.tsx";

interface DrawerProps {
  title: ReactNode;
  label: string;
  onClose: () => void;
  children: ReactNode;
}

/** Stands beside the list it belongs to; the list stays usable. */
export function Drawer({ title, label, onClose, children }: DrawerProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    heading.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <aside className="drawer" aria-label={label}>
      <header className="drawer-head">
        <h2 ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <IconButton icon="close" label="Close (Esc)" onClick={onClose} />
      </header>
      <div className="drawer-body">{children}</div>
    </aside>
  );
}

/** All of one event. */
export function EventInspector({ event, onClose }: { event: EventItem; onClose: () => void }) {
  const colourOf = useColours();
  const title = <TypeName type={event.eventType} colour={colourOf(event.eventType)} />;
  return (
    <Drawer title={title} label="Event" onClose={onClose}>
      <EventFacts event={event} />
      <p className="drawer-actions">
        <CopyButton text={JSON.stringify(event, null, 2)} label="Copy JSON" />
        <Link className="button quiet" href={`/browse?id=${encodeURIComponent(event.id)}`}>
          Link to this event
        </Link>
      </p>
      <Json value={event} label="The event as JSON" />
    </Drawer>
  );
}

export function EventFacts({ event }: { event: Partial<EventItem> }) {
  const { id, eventId, userId, sessionId, timestamp, receivedAt } = event;
  const delay = timestamp && receivedAt ? Date.parse(receivedAt) - Date.parse(timestamp) : 0;
  return (
    <Facts>
      {timestamp && <Fact name="Time">{time(timestamp)}</Fact>}
      {receivedAt && (
        <Fact name="Received">
          {time(receivedAt).slice(0, -4)}
          {delay > 60_000 && <span className="soft"> late</span>}
        </Fact>
      )}
      {userId && (
        <Fact name="User">
          <Link href={linkTo("/browse", { userId })}>{userId}</Link>
        </Fact>
      )}
      {sessionId && (
        <Fact name="Session">
          <Link href={linkTo("/browse", { sessionId })}>{sessionId}</Link>
        </Fact>
      )}
      {eventId && <Fact name="eventId">{eventId}</Fact>}
      {id && <Fact name="Canonical id">{id}</Fact>}
    </Facts>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
