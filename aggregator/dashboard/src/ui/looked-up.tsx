import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { ApiError } from "../api/client.ts";
import { eventQuery } from "../api/queries.ts";
import type { FoundEvent } from "../api/types.ts";
import { time } from "../lib/format.ts";
import { EventFacts } from "./inspector.tsx";
import { Json } from "./json.tsx";
import { Failure, IconButton, Loading, Notice, Panel } from "./parts.tsx";

/** What became of one event. */
export function LookedUp(props: { id: string; timestamp?: string; onClose: () => void }) {
  const { id, timestamp, onClose } = props;
  const { data, error, isPending, refetch } = useQuery({
    ...eventQuery(id, timestamp),
    // Accepted but not yet stored is found in a moment: asking again saves the reader from it.
    refetchInterval: ({ state }) => (isNotFound(state.error) ? 3_000 : false),
  });
  return (
    <Panel
      title={<span className="mono ellipsis">{id}</span>}
      actions={<IconButton icon="close" label="Close the looked-up event" onClick={onClose} />}
      className="looked-up"
    >
      {isPending && <Loading lines={3} />}
      {error && (isNotFound(error) ? <NotFound error={error} /> : null)}
      {error && !isNotFound(error) && <Failure error={error} onRetry={() => void refetch()} />}
      {data && !error && <Found event={data} />}
    </Panel>
  );
}

function Found({ event }: { event: FoundEvent }) {
  return (
    <>
      {event.status === "stored" ? (
        <Notice tone="good">
          <strong>Stored.</strong> It is counted, and stays so however often it is sent.
        </Notice>
      ) : (
        <Notice tone="bad">
          <strong>Not stored: dead letter.</strong> {event.detail ?? event.reason}
          {event.deadLetteredAt && ` Kept since ${time(event.deadLetteredAt)}.`}{" "}
          <Link href="/pipeline">To the dead letters</Link>
        </Notice>
      )}
      <EventFacts event={event} />
      <Json value={event} label="The event as JSON" />
    </>
  );
}

function NotFound({ error }: { error: ApiError }) {
  const through = error.problem.storedThrough;
  return (
    <Notice tone="warn">
      <strong>There is no such event.</strong>{" "}
      {typeof through === "string" && (
        <>
          Everything accepted before {time(through)} is stored; if its <code>202</code> came later,
          it is on its way. Looking again every 3 s.{" "}
        </>
      )}
      An <code>eventId</code> without a time of its own is found with the <code>timestamp</code> it
      was sent with.
    </Notice>
  );
}

function isNotFound(error: Error | null): error is ApiError {
  return error instanceof ApiError && error.code === "event_not_found";
}
