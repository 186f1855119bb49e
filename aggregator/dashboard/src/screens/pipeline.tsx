import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { pipelineQuery } from "../api/queries.ts";
import type { Consumer, Partition, Pipeline, Storage } from "../api/types.ts";
import { ago, bytes, compact, count, duration } from "../lib/format.ts";
import { backlog, health } from "../lib/health.ts";
import { useNow } from "../lib/now.ts";
import { may, useSession } from "../session/session.ts";
import { DeadLetters } from "../ui/dead-letters.tsx";
import { Empty, Failure, Loading, Notice, Panel, Scroll } from "../ui/parts.tsx";

/** A consumer that has been idle for so long is gone: others take over what it holds. */
const IDLE_MS = 60_000;

export default function PipelineScreen() {
  const isOperator = may(useSession().role, "operator");
  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Pipeline</h1>
        {!isOperator && (
          <span className="note">What all tenants share is shown to operators only</span>
        )}
      </header>
      {isOperator && <Whole />}
      <DeadLetters />
    </div>
  );
}

/** What all tenants share. */
function Whole() {
  const { data, error } = useQuery(pipelineQuery);
  const now = useNow(1_000);
  const state = health(data, error, now);
  return (
    <>
      {error && <Failure error={error} />}
      {data && !error && (
        <Notice tone={state.tone}>
          <strong>{state.text}.</strong> {state.detail}
        </Notice>
      )}
      {!data && !error && <Loading lines={8} />}
      {data && (
        <>
          <Flow pipeline={data} now={now} />
          <Partitions partitions={data.partitions} />
          {data.storage && <Spans storage={data.storage} />}
        </>
      )}
    </>
  );
}

/** The way of the events, with what is where. */
function Flow({ pipeline, now }: { pipeline: Pipeline; now: number }) {
  const { totals, redis, mongodb, deadLetters, storedThrough } = pipeline;
  const consumers = pipeline.partitions.flatMap((partition) => partition.consumers);
  const names = new Set(consumers.map(({ name }) => name));
  const used = redis.maxMemoryBytes > 0 ? redis.usedMemoryBytes / redis.maxMemoryBytes : 0;
  const waits = backlog(pipeline);
  const dead = deadLetters?.events ?? 0;
  return (
    <ol className="flow" aria-label="The way of the events">
      <Stage
        name="Accepted"
        value={compact(totals.appended)}
        note="on disk in Redis before the 202"
      />
      <Stage
        name="Waiting"
        value={compact(waits)}
        tone={waits > 0 ? "warn" : undefined}
        note={
          <>
            Redis {redis.version}, {bytes(redis.usedMemoryBytes)}
            {redis.maxMemoryBytes > 0 && ` of ${bytes(redis.maxMemoryBytes)}`}
            <progress
              aria-label="Memory of Redis in use"
              className={used > 0.8 ? "high" : undefined}
              value={used}
              max={1}
            />
          </>
        }
      />
      <Stage
        name="Processors"
        value={count(names.size)}
        tone={names.size === 0 ? "bad" : undefined}
        note={names.size === 0 ? "none has read yet" : [...names].slice(0, 3).join(", ")}
      />
      <Stage
        name="Stored"
        value={compact(totals.stored)}
        note={
          <>
            {mongodb ? `MongoDB ${mongodb.version}` : "MongoDB does not answer"}
            {storedThrough !== null && `, through ${ago(storedThrough, now)}`}
            {totals.duplicates > 0 && `; ${compact(totals.duplicates)} duplicates left out`}
          </>
        }
      />
      <Stage
        name="Dead letters"
        value={deadLetters ? count(deadLetters.events) : "–"}
        tone={dead > 0 ? "bad" : undefined}
        note={dead > 0 ? `${bytes(deadLetters?.bytes ?? 0)}, listed below` : "none"}
      />
    </ol>
  );
}

interface StageProps {
  name: string;
  value: string;
  note: ReactNode;
  tone?: "warn" | "bad";
}

function Stage({ name, value, note, tone }: StageProps) {
  return (
    <li className={`panel stage ${tone ?? ""}`}>
      <span className="tile-label">{name}</span>
      <span className="tile-value">{value}</span>
      <span className="note">{note}</span>
    </li>
  );
}

function Partitions({ partitions }: { partitions: Partition[] }) {
  if (partitions.length === 0) return <Empty title="There is no stream yet" />;
  return (
    <Panel title="Streams" note="Entries are frames: events that were appended together">
      <Scroll className="table-scroll" label="Streams">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Partition</th>
              <th scope="col" className="number">
                Entries
              </th>
              <th scope="col" className="number">
                Lag
              </th>
              <th scope="col" className="number">
                Pending
              </th>
              <th scope="col" className="number">
                Oldest pending
              </th>
              <th scope="col" className="number">
                Memory
              </th>
              <th scope="col">Consumers</th>
            </tr>
          </thead>
          <tbody>
            {partitions.map((each) => (
              <tr key={each.partition}>
                <th scope="row">{each.partition}</th>
                <td className="number">{count(each.entries)}</td>
                <td className="number">{each.lag === null ? "unknown" : count(each.lag)}</td>
                <td className="number">{count(each.pending)}</td>
                <td className="number">
                  {each.oldestPendingAgeMs === null ? "–" : duration(each.oldestPendingAgeMs)}
                </td>
                <td className="number">
                  {each.memoryBytes === null ? "–" : bytes(each.memoryBytes)}
                </td>
                <td>
                  <Consumers consumers={each.consumers} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

/** What becomes of a span next, in words. */
const NEXT = {
  seal: "sealed when it is quiet",
  drop: "dropped when all accepted is stored",
};

/** The newest spans of events, and what ends. */
function Spans({ storage }: { storage: Storage }) {
  const { spans, total, floor, diskUsedPermille } = storage;
  if (spans.length === 0) return <Empty title="There is no span of events yet" />;
  const used = diskUsedPermille ?? 0;
  return (
    <Panel
      title="Spans"
      note={
        <>
          {total > spans.length ? `The newest ${spans.length} of ${count(total)}` : count(total)}
          {floor !== null && `; events before ${cut(floor)} are refused`}
          {diskUsedPermille !== null && `; ${Math.round(used / 10)} % of the disk is used`}
        </>
      }
    >
      <Scroll className="table-scroll" label="Spans">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Span</th>
              <th scope="col">State</th>
              <th scope="col" className="number">
                Events
              </th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col">Next</th>
            </tr>
          </thead>
          <tbody>
            {spans.map((each) => (
              <tr key={each.name}>
                <th scope="row">{each.name}</th>
                <td>{each.state}</td>
                <td className="number">{count(each.events)}</td>
                <td className="number">{bytes(each.bytes)}</td>
                <td>{each.next ? NEXT[each.next] : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

/** The day of a mark, UTC, with its hour where spans of an hour are cut in it. */
function cut(ms: number): string {
  const [day, time] = new Date(ms).toISOString().slice(0, 16).split("T");
  return time === "00:00" ? `${day}` : `${day} ${time}`;
}

function Consumers({ consumers }: { consumers: Consumer[] }) {
  if (consumers.length === 0) return <span className="soft">none</span>;
  return (
    <ul className="consumers">
      {consumers.map(({ name, pending, idleMs }) => (
        <li key={name}>
          <span className={`dot ${idleMs > IDLE_MS ? "warn" : "good"}`} />
          {name}
          <span className="soft">
            {pending > 0 && ` ${count(pending)} pending,`} idle {duration(idleMs)}
          </span>
        </li>
      ))}
    </ul>
  );
}
