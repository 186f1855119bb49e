import { useQuery } from "@tanstack/react-query";
import { type Dispatch, type SetStateAction, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { infoQuery } from "../api/queries.ts";
import { startCapture } from "../capture/capture.ts";
import { arrived, captured, delivered, type Entry, type Ledger } from "../capture/ledger.ts";
import { type SenderDeps, sendTo, startSender } from "../capture/sender.ts";
import { useColours } from "../lib/colours.ts";
import { linkTo } from "../lib/filters.ts";
import { duration, preview, time } from "../lib/format.ts";
import { uuidv7 } from "../lib/uuid.ts";
import { useFeed } from "../live/use-feed.ts";
import { ChooseKey } from "../session/choose-key.tsx";
import { bearer, useSendKey } from "../session/send-key.tsx";
import { useSession } from "../session/session.ts";
import { FeedStatus } from "../ui/feed-status.tsx";
import { Empty, Failure, Loading, Panel, Scroll } from "../ui/parts.tsx";

/** Enough for all that one pair of hands can do. */
const EVENTS_PER_SECOND = 50;

export default function Demo() {
  const info = useQuery(infoQuery);
  const key = useSendKey();
  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Demo</h1>
        <span className="note">
          Clicks, moves, scrolls and page loads in the box become events. Keys are never captured.
        </span>
      </header>
      {info.error && <Failure error={info.error} onRetry={() => void info.refetch()} />}
      {info.isPending && <Loading lines={8} />}
      {key !== undefined && (
        <Panel>
          <ChooseKey />
        </Panel>
      )}
      {info.data && key !== null && <Captured key={key} ingestUrl={info.data.ingestUrl} />}
    </div>
  );
}

function Captured({ ingestUrl }: { ingestUrl: string }) {
  const [visitor] = useState(() => ({
    userId: `visitor-${uuidv7().slice(-6)}`,
    sessionId: uuidv7(),
  }));
  const [ledger, setLedger] = useState<Ledger>([]);
  const area = useRef<HTMLElement>(null);
  const { tenant } = useSession();
  const key = useSendKey();
  const { tail, state, retry } = useFeed({ userId: visitor.userId, rate: EVENTS_PER_SECOND });

  useEffect(() => {
    if (!area.current) return;
    const deps = sendTo(ingestUrl, tenant.id, bearer(key));
    return connect(area.current, deps, visitor, setLedger);
  }, [ingestUrl, tenant.id, key, visitor]);
  useEffect(() => {
    const ids = new Set(tail.shown.map(({ eventId }) => eventId ?? ""));
    if (ids.size > 0) setLedger((before) => arrived(before, ids, Date.now()));
  }, [tail.shown]);

  return (
    <div className="columns even">
      <Panel
        title="A page like any other"
        note={
          <>
            You are{" "}
            <Link href={linkTo("/browse", { userId: visitor.userId })}>{visitor.userId}</Link>
          </>
        }
      >
        <Scroll ref={area} className="demo-area" label="The page">
          <Shop />
        </Scroll>
      </Panel>
      <Panel
        title="Events of this visit"
        note={`Sent to ${ingestUrl}, read back from the live stream`}
        actions={<FeedStatus state={state} retry={retry} />}
      >
        {ledger.length === 0 ? (
          <Empty title="Move the mouse over the page" />
        ) : (
          <LedgerTable ledger={ledger} />
        )}
      </Panel>
    </div>
  );
}

function connect(
  area: HTMLElement,
  deps: SenderDeps,
  visitor: { userId: string; sessionId: string },
  setLedger: Dispatch<SetStateAction<Ledger>>,
): () => void {
  const sender = startSender(deps, (delivery) =>
    setLedger((before) => delivered(before, delivery)),
  );
  const stopCapture = startCapture(area, (eventType, payload) => {
    const event = { eventId: uuidv7(), eventType, timestamp: Date.now(), ...visitor, payload };
    setLedger((before) => captured(before, event));
    sender.send(event);
  });
  window.addEventListener("pagehide", sender.leave);
  return () => {
    window.removeEventListener("pagehide", sender.leave);
    stopCapture();
    sender.leave();
    sender.stop();
  };
}

function LedgerTable({ ledger }: { ledger: Ledger }) {
  const colourOf = useColours();
  return (
    <Scroll className="table-scroll ledger" label="What was captured">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Type</th>
            <th scope="col">What</th>
            <th scope="col">Became</th>
          </tr>
        </thead>
        <tbody>
          {ledger.map((entry) => (
            <tr key={entry.event.eventId} className={`progress-${entry.progress}`}>
              <td>{time(entry.capturedAt)}</td>
              <td>
                <span className="type-name">
                  <span
                    className="swatch"
                    style={{ background: colourOf(entry.event.eventType) }}
                  />
                  {entry.event.eventType}
                </span>
              </td>
              <td className="ellipsis mono soft data">{preview(entry.event.payload)}</td>
              <td title={entry.reason}>{became(entry)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function became({ progress, acceptedInMs, arrivedInMs, reason }: Entry): string {
  switch (progress) {
    case "waiting":
      return "sending";
    case "retrying":
      return "sending again";
    case "refused":
      return reason ?? "refused";
    case "accepted":
      return `202 in ${duration(acceptedInMs ?? 0)}`;
    case "arrived":
      return `arrived in ${duration(arrivedInMs ?? 0)}`;
  }
}

const TEAS = [
  { name: "Assam", note: "malty, strong", price: "8.40" },
  { name: "Sencha", note: "grassy, bright", price: "11.20" },
  { name: "Earl Grey", note: "with bergamot", price: "7.90" },
  { name: "Pu-erh", note: "earthy, aged", price: "14.50" },
  { name: "Rooibos", note: "no caffeine", price: "6.80" },
  { name: "Oolong", note: "between green and black", price: "12.60" },
];

/** Something to click on, and long enough to scroll. */
function Shop() {
  const [basket, setBasket] = useState(0);
  return (
    <>
      <div className="shop-head">
        <h3>The tea shop</h3>
        <span className="pill plain" role="status">
          {basket === 0 ? "basket is empty" : `${basket} in the basket`}
        </span>
      </div>
      <ul className="shop">
        {TEAS.map((tea) => (
          <li key={tea.name} data-name={tea.name}>
            <div className="leaf" aria-hidden="true" />
            <h4>{tea.name}</h4>
            <p>{tea.note}</p>
            <button
              type="button"
              className="button"
              onClick={() => setBasket((before) => before + 1)}
            >
              {tea.price} €<span className="unseen"> for {tea.name}</span>
            </button>
          </li>
        ))}
      </ul>
      <label className="shop-note">
        A note for us (nothing typed here is captured)
        <textarea rows={2} />
      </label>
      <p className="shop-end">That is all. Scroll back up: that is an event, too.</p>
    </>
  );
}
