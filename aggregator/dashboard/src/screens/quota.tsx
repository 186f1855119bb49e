import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { keysQuery, type Usage, usageQuery } from "../access/access.ts";
import { reasonOf } from "../access/reasons.ts";
import { stateOf } from "../access/state.ts";
import { ago, compact, count, duration } from "../lib/format.ts";
import { useNow } from "../lib/now.ts";
import { may, useSession } from "../session/session.ts";
import { Empty, Failure, Loading, Panel, Scroll, Tile } from "../ui/parts.tsx";

const DAY_MS = 86_400_000;
/** A quota of which less is left is almost used up. */
const LITTLE = 0.1;

/** What became of the tenant's events: why are some missing? */
export default function Quota() {
  const { tenant, role } = useSession();
  const usage = useQuery(usageQuery);
  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Usage</h1>
        <span className="note">
          Of {tenant.name}, in the last 24 hours. It may be some seconds late
        </span>
      </header>
      {usage.error && <Failure error={usage.error} />}
      {!usage.data && !usage.error && <Loading lines={8} />}
      {usage.data && (
        <>
          <Tiles usage={usage.data} />
          <Refusals refused={usage.data.refused} />
        </>
      )}
      {may(role, "admin") && <LastUse tenant={tenant.id} />}
    </div>
  );
}

function Tiles({ usage }: { usage: Usage }) {
  const refused = (what: "event" | "request") =>
    usage.refused
      .filter(({ code }) => reasonOf(code).what === what)
      .reduce((total, { count }) => total + count, 0);
  return (
    <div className="tiles usage">
      <QuotaTile usage={usage} />
      <Tile label="Events accepted" value={compact(usage.accepted)} />
      <Tile
        label="Events refused"
        value={compact(refused("event"))}
        note="their neighbours are stored"
      />
      <Tile
        label="Requests refused"
        value={compact(refused("request"))}
        note="with all their events"
      />
    </div>
  );
}

function QuotaTile({ usage: { asOf, quota } }: { usage: Usage }) {
  if (!quota) {
    return <Tile label="Quota of today" value="none" note="Any number of events in a day" />;
  }
  const { eventsPerDay, left } = quota;
  const renewed = DAY_MS - (Date.parse(asOf) % DAY_MS);
  const tone = left === 0 ? "bad" : left < LITTLE * eventsPerDay ? "warn" : undefined;
  return (
    <Tile
      label="Quota left today"
      value={`${count(left)}`}
      tone={tone}
      note={`${count(eventsPerDay - left)} of ${count(eventsPerDay)} events used; renewed in ${duration(renewed)}, at midnight UTC`}
    >
      <progress
        aria-label="Quota used today"
        className={tone ? "high" : undefined}
        value={eventsPerDay - left}
        max={Math.max(1, eventsPerDay)}
      />
    </Tile>
  );
}

function Refusals({ refused }: { refused: Usage["refused"] }) {
  const { role } = useSession();
  return (
    <Panel title="Why events are missing" note="What was refused, by reason, most first">
      {refused.length === 0 ? (
        <Empty title="Nothing was refused">
          {may(role, "admin") && (
            <p>
              What was accepted and is not in the list of events may be among{" "}
              <Link href="/pipeline">the dead letters</Link>.
            </p>
          )}
        </Empty>
      ) : (
        <Scroll className="table-scroll" label="Refusals by reason">
          <table className="table reasons">
            <thead>
              <tr>
                <th scope="col" className="number">
                  Refused
                </th>
                <th scope="col">Reason</th>
                <th scope="col">What happened</th>
                <th scope="col">What to do</th>
              </tr>
            </thead>
            <tbody>
              {refused.map(({ code, count: times }) => {
                const { what, why, todo } = reasonOf(code);
                return (
                  <tr key={code}>
                    <td className="number">
                      {count(times)} {times === 1 ? what : `${what}s`}
                    </td>
                    <th scope="row">
                      <code>{code}</code>
                    </th>
                    <td className="words">{why}</td>
                    <td className="words">{todo}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

/** Keys that may be used, by when they were last: a key that is silent, or one that should be. */
function LastUse({ tenant }: { tenant: string }) {
  const { data, error } = useQuery(keysQuery);
  const now = useNow(5_000);
  const own = data?.items.filter((key) => key.tenant === tenant && stateOf(key, now) !== "ended");
  const ordered = own?.sort((a, b) => (b.lastUsedAt ?? "").localeCompare(a.lastUsedAt ?? ""));
  return (
    <Panel title="Last use of each key" actions={<Link href="/access">All keys</Link>}>
      {error && <Failure error={error} />}
      {!data && !error && <Loading />}
      {ordered?.length === 0 && <Empty title="The tenant has no key" />}
      {ordered && ordered.length > 0 && (
        <Scroll className="table-scroll" label="Keys by their last use">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Scope</th>
                <th scope="col">Last used</th>
              </tr>
            </thead>
            <tbody>
              {ordered.map(({ id, name, scope, lastUsedAt }) => (
                <tr key={id}>
                  <th scope="row" className="ellipsis">
                    {name} <span className="soft mono">{id}</span>
                  </th>
                  <td>{scope}</td>
                  <td>{lastUsedAt ? ago(Date.parse(lastUsedAt), now) : "never"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}
