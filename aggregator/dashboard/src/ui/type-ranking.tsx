import { Link } from "wouter";
import { OTHER_TYPES, type Range, type Series } from "../api/types.ts";
import { useColours } from "../lib/colours.ts";
import { linkTo } from "../lib/filters.ts";
import { count, share } from "../lib/format.ts";
import { Empty, Loading, Panel, TypeName } from "./parts.tsx";
import { Sparkline } from "./sparkline.tsx";
import { bySize } from "./stacked.ts";

const SHOWN = 12;

interface TypeRankingProps {
  series?: Series;
  minute?: Series;
  range: Range;
}

/** The largest types with their share, and how each went in the last minute. */
export function TypeRanking({ series, minute, range }: TypeRankingProps) {
  const rows = series ? bySize(series) : [];
  const all = rows.reduce((total, row) => total + row.total, 0);
  const colourOf = useColours();
  const recent = new Map(minute?.series.map(({ type, points }) => [type, points]));
  return (
    <Panel title="By type" note={series && `${count(all)} in ${range}`}>
      {!series && <Loading />}
      {series && rows.length === 0 && <Empty title="Nothing arrived in this time" />}
      {rows.length > 0 && (
        <table className="table types">
          <thead>
            <tr>
              <th scope="col">Type</th>
              <th scope="col" className="number">
                Events
              </th>
              <th scope="col" className="share-column">
                Share
              </th>
              <th scope="col" className="spark-column">
                Last minute
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((row) => {
              const colour = colourOf(row.type);
              const name = <TypeName type={row.type} colour={colour} />;
              const points = recent.get(row.type)?.map(([, value]) => value) ?? [];
              return (
                <tr key={row.type}>
                  <th scope="row">
                    {row.type === OTHER_TYPES ? (
                      name
                    ) : (
                      <Link href={linkTo("/browse", { types: [row.type] })}>{name}</Link>
                    )}
                  </th>
                  <td className="number">{count(row.total)}</td>
                  <td className="share-column">
                    <span className="share">
                      <span className="share-track">
                        <span
                          className="share-fill"
                          style={{ width: `${(row.total / all) * 100}%`, background: colour }}
                        />
                      </span>
                      <span className="share-text">{share(row.total / all)}</span>
                    </span>
                  </td>
                  <td className="spark-column">
                    <Sparkline values={points} colour={colour} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {rows.length > SHOWN && (
        <p className="note after">and {count(rows.length - SHOWN)} more types</p>
      )}
    </Panel>
  );
}
