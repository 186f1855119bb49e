import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { ApiError, post } from "../api/client.ts";
import { infoQuery } from "../api/queries.ts";
import type { Accepted, EventItem } from "../api/types.ts";
import { count } from "../lib/format.ts";
import { snippets } from "../lib/snippets.ts";
import { uuidv7 } from "../lib/uuid.ts";
import { useFeed } from "../live/use-feed.ts";
import { ChooseKey } from "../session/choose-key.tsx";
import { bearer, useSendKey } from "../session/send-key.tsx";
import { FeedStatus } from "../ui/feed-status.tsx";
import { EventFacts } from "../ui/inspector.tsx";
import { Json } from "../ui/json.tsx";
import { Code, CopyButton, Failure, Loading, Panel, Segments } from "../ui/parts.tsx";

export default function Start() {
  const info = useQuery(infoQuery);
  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Get started</h1>
        {info.data && <span className="note">EVP {info.data.version}</span>}
      </header>
      {info.error && <Failure error={info.error} onRetry={() => void info.refetch()} />}
      {info.isPending && <Loading lines={8} />}
      {info.data && (
        <div className="columns even">
          <Send ingestUrl={info.data.ingestUrl} />
          <FirstEvent ingestUrl={info.data.ingestUrl} />
        </div>
      )}
    </div>
  );
}

function Send({ ingestUrl }: { ingestUrl: string }) {
  const key = useSendKey();
  const all = snippets(ingestUrl, key);
  const [name, setName] = useState("curl");
  const chosen = all.find((each) => each.name === name) ?? all[0];
  return (
    <Panel title="1. Send an event" note="To this very system: copy it as it is">
      {key !== undefined && <ChooseKey />}
      <Segments
        label="Language"
        options={all.map((each) => ({ value: each.name, text: each.name }))}
        value={name}
        onChange={setName}
      />
      {chosen && (
        <>
          <div className="snippet">
            <Code label={`Example for ${chosen.name}`}>{chosen.code}</Code>
            <CopyButton text={chosen.code} />
          </div>
          {chosen.hint && <p className="note">{chosen.hint}</p>}
        </>
      )}
      <p className="note">
        A <code>202</code> means: on disk, not in a buffer. A retry with the same{" "}
        <code>eventId</code> and <code>timestamp</code> is stored and counted once.{" "}
        <a href="/docs">All of the API</a>
      </p>
    </Panel>
  );
}

/** Waits for whatever arrives first while the page is open. */
function FirstEvent({ ingestUrl }: { ingestUrl: string }) {
  const { tail, state, retry } = useFeed({ rate: 10 });
  const key = useSendKey();
  const send = useMutation({
    mutationFn: () => post<Accepted>(`${ingestUrl}/events`, hello(), { headers: bearer(key) }),
    // One that was just made may not have come to ingest yet.
    retry: (failures, error) => failures < 3 && isUnknownKey(error),
  });
  const first = tail.shown.at(-1);
  return (
    <Panel
      title={first ? "2. There it is" : "2. Watch it arrive"}
      note={first ? "Accepted, on disk, and here by the live stream" : "Any event will do"}
      actions={<FeedStatus state={state} retry={retry} />}
      className={first ? "arrived" : ""}
    >
      {first ? (
        <Arrived event={first} more={tail.received - 1} />
      ) : (
        <div className="waiting">
          <span className="ripple" aria-hidden="true" />
          <p role="status">Waiting for your first event…</p>
          <button
            type="button"
            className="button"
            disabled={send.isPending || key === null}
            onClick={() => send.mutate()}
          >
            Send one from here
          </button>
        </div>
      )}
      {send.error && !first && <Failure error={send.error} onRetry={() => send.mutate()} />}
    </Panel>
  );
}

function isUnknownKey(error: Error): boolean {
  return error instanceof ApiError && error.code === "unknown_key";
}

function hello() {
  const payload = { from: "the dashboard" };
  return { eventType: "hello", eventId: uuidv7(), userId: "you", payload };
}

function Arrived({ event, more }: { event: EventItem; more: number }) {
  return (
    <div role="status">
      <EventFacts event={event} />
      <Json value={event} label="Your first event as JSON" />
      <p className="next-steps">
        {more > 0 && <span className="note">and {count(more)} more since. </span>}
        <Link href="/live" className="button primary">
          See all of them live
        </Link>
        <Link href="/" className="button">
          To the overview
        </Link>
        <Link href="/demo" className="button">
          Click around
        </Link>
      </p>
    </div>
  );
}
