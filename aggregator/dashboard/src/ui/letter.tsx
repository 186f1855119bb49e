import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { deadLetterQuery } from "../api/queries.ts";
import type { DeadLetter } from "../api/types.ts";
import { time } from "../lib/format.ts";
import { Drawer, Fact, Facts } from "./inspector.tsx";
import { Json } from "./json.tsx";
import { CopyButton, Failure } from "./parts.tsx";

/** All that is kept of one dead letter. */
export function Letter({ letter, onClose }: { letter: DeadLetter; onClose: () => void }) {
  const { data, error, refetch } = useQuery(deadLetterQuery(letter.id));
  const shown = data ?? letter;
  return (
    <Drawer title="Dead letter" label="Dead letter" onClose={onClose}>
      <Facts>
        <Fact name="Reason">
          <span className="badge bad">{shown.reason}</span>
        </Fact>
        {shown.message && <Fact name="Message">{shown.message}</Fact>}
        <Fact name="Since">{time(shown.at)}</Fact>
        {shown.replayedAt !== null && <Fact name="Replayed">{time(shown.replayedAt)}</Fact>}
        {shown.entry && (
          <Fact name="Entry">
            {shown.entry} of partition {shown.partition}
          </Fact>
        )}
        {shown.frame && <Fact name="Frame">{shown.frame}</Fact>}
        <Fact name="Id">{shown.id}</Fact>
        {data?.event?.id && (
          <Fact name="Event">
            <Link href={`/browse?id=${encodeURIComponent(data.event.id)}`}>{data.event.id}</Link>
          </Fact>
        )}
      </Facts>
      {error && <Failure error={error} onRetry={() => void refetch()} />}
      {data && (
        <>
          <p className="drawer-actions">
            <CopyButton text={JSON.stringify(data, null, 2)} label="Copy JSON" />
          </p>
          <Json value={data.event ?? data} label="What is kept of it, as JSON" />
        </>
      )}
    </Drawer>
  );
}
