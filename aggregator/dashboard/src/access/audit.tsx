import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";
import { preview, time } from "../lib/format.ts";
import { Empty, Failure, Loading, Panel, Scroll } from "../ui/parts.tsx";
import { type AuditEntry, auditQuery } from "./access.ts";

/** Who did what, newest first. */
export function Audit() {
  const [search, setSearch] = useSearchParams();
  const cursor = search.get("cursor");
  const { data, error, isPlaceholderData } = useQuery(auditQuery(cursor));
  const next = isPlaceholderData ? null : (data?.nextCursor ?? null);
  const go = (to: string | null) =>
    setSearch(to === null ? { view: "audit" } : { view: "audit", cursor: to });
  return (
    <Panel title="Audit" note="Who changed something, or signed in; kept for 400 days">
      {error && <Failure error={error} />}
      {!data && !error && <Loading lines={8} />}
      {data?.entries.length === 0 && <Empty title="Nothing was done yet" />}
      {data && data.entries.length > 0 && <EntryTable entries={data.entries} />}
      {(cursor || next) && (
        <footer className="pager">
          <button type="button" className="button" disabled={!cursor} onClick={() => go(null)}>
            Newest
          </button>
          <button type="button" className="button" disabled={!next} onClick={() => go(next)}>
            Older
          </button>
        </footer>
      )}
    </Panel>
  );
}

const TONES = { started: "warn", done: "good", incomplete: "warn", failed: "bad" };

function EntryTable({ entries }: { entries: AuditEntry[] }) {
  return (
    <Scroll className="table-scroll" label="Audit entries">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Who</th>
            <th scope="col">From</th>
            <th scope="col">Tenant</th>
            <th scope="col">Action</th>
            <th scope="col">What</th>
            <th scope="col">Outcome</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.id}>
              <td>{time(entry.at)}</td>
              <td className="ellipsis">{entry.who}</td>
              <td className="ellipsis">{entry.from}</td>
              <td>{entry.tenant ?? "–"}</td>
              <td>{entry.action}</td>
              <td className="ellipsis soft data">{preview(entry.detail)}</td>
              <td>
                <span className={`badge ${TONES[entry.outcome]}`}>{entry.outcome}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
