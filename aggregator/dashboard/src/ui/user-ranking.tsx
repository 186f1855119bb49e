import { Link } from "wouter";
import type { Analytics, Range } from "../api/types.ts";
import { linkTo } from "../lib/filters.ts";
import { count } from "../lib/format.ts";
import { whyUncounted } from "../lib/refusal.ts";
import { Empty, Failure, Loading, Panel } from "./parts.tsx";

const SHOWN = 12;

interface UserRankingProps {
  analytics?: Analytics;
  error: Error | null;
  range: Range;
}

/** The users with the most events; a count may be too high by as much as is said. */
export function UserRanking({ analytics, error, range }: UserRankingProps) {
  const rows = analytics?.topUsers ?? [];
  return (
    <Panel title="Most active users" note={`In ${range}`}>
      {error && <Failure error={error} />}
      {!analytics && !error && <Loading />}
      {analytics?.topUsers === null && (
        <Empty title="Not counted">
          <p>{whyUncounted(analytics.missingReason)}</p>
        </Empty>
      )}
      {analytics?.topUsers?.length === 0 && (
        <Empty title="No events with a user">
          <p>Events that name a userId are counted here.</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col" className="number">
                Events
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((user) => (
              <tr key={user.userId}>
                <th scope="row">
                  <Link href={linkTo("/browse", { userId: user.userId })} className="ellipsis">
                    {user.userId}
                  </Link>
                </th>
                <td className="number">
                  {count(user.count)}
                  {user.error > 0 && (
                    <span className="soft" title={`may be up to ${count(user.error)} less`}>
                      {" "}
                      −{count(user.error)}
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
