import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { Link, useSearchParams } from "wouter";
import { analyticsQuery, metricsQuery, seriesQuery, totalsQuery } from "../api/queries.ts";
import { type Analytics, type Estimate, RANGES, type Range, type Series } from "../api/types.ts";
import { SERIES_COLOURS, useColours } from "../lib/colours.ts";
import { compact, count, rate, share } from "../lib/format.ts";
import { Empty, Failure, Loading, Panel, Segments, Tile } from "../ui/parts.tsx";
import { Bars } from "../ui/sparkline.tsx";
import { coarser, rateNow, stack, totals } from "../ui/stacked.ts";
import { TypeRanking } from "../ui/type-ranking.tsx";
import { UserRanking } from "../ui/user-ranking.tsx";

const TimeChart = lazy(() => import("../ui/time-chart.tsx"));

/** How a range is charted: steps fine enough to see, few enough to draw. */
const CHARTS: Record<Range, ChartSteps> = {
  "15m": { step: "second", joined: 5, everyMs: 2_000, note: "one point per 5 seconds" },
  "1h": { step: "minute", joined: 1, everyMs: 5_000, note: "one point per minute" },
  "24h": { step: "minute", joined: 5, everyMs: 60_000, note: "one point per 5 minutes" },
  "7d": { step: "hour", joined: 1, everyMs: 60_000, note: "one point per hour" },
};

interface ChartSteps {
  step: "second" | "minute" | "hour";
  /** Steps that make one point. */
  joined: number;
  everyMs: number;
  note: string;
}

const RANGE_OPTIONS = RANGES.map((range) => ({ value: range, text: range }));

export default function Overview() {
  const [search, setSearch] = useSearchParams();
  const range = RANGES.find((each) => each === search.get("range")) ?? "15m";
  const chart = CHARTS[range];
  const minute = useQuery(seriesQuery("60s", "second", 1_000));
  const all = useQuery(totalsQuery);
  const analytics = useQuery(analyticsQuery(range));
  const series = useQuery(seriesQuery(range, chart.step, chart.everyMs));

  const chooseRange = (next: Range) =>
    setSearch((before) => {
      before.set("range", next);
      return before;
    });
  const stored = all.data?.totals;
  const isNew = stored?.events === 0 && (stored.appended ?? 0) === 0;
  const error = all.error ?? minute.error ?? series.error;

  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Overview</h1>
        <Segments label="Range" options={RANGE_OPTIONS} value={range} onChange={chooseRange} />
      </header>
      {error && <Failure error={error} />}
      {isNew && <FirstSteps />}
      <Tiles minute={minute.data} analytics={analytics.data} />
      <Panel title="Events per second" note={`By arrival, ${chart.note}`} className="chart-panel">
        {series.data ? <Chart series={series.data} joined={chart.joined} /> : <Loading lines={6} />}
      </Panel>
      <div className="columns">
        <TypeRanking series={series.data} minute={minute.data} range={range} />
        <UserRanking
          analytics={analytics.data}
          error={error ? null : analytics.error}
          range={range}
        />
      </div>
    </div>
  );
}

function Tiles({ minute, analytics }: { minute?: Series; analytics?: Analytics }) {
  const metrics = useQuery(metricsQuery);
  const all = useQuery(totalsQuery);
  const perSecond = minute ? totals(minute) : [];
  const now = rateNow(perSecond, 3);
  const counted = all.data?.totals;
  const dead = counted?.deadLettered ?? 0;
  return (
    <div className="tiles">
      <Tile
        label="Events per second, now"
        value={minute ? rate(now) : "–"}
        note="Each bar is a second of the last minute"
      >
        <Bars values={perSecond} />
      </Tile>
      <Tile
        label="Last minute"
        value={metrics.data ? count(metrics.data.totalEventsLastMinute) : "–"}
        note={metrics.data ? `${count(metrics.data.byType.length)} types` : undefined}
      />
      <Tile
        label="Stored, all time"
        value={counted ? compact(counted.events) : "–"}
        note={
          counted?.duplicates !== undefined && (
            <>
              {compact(counted.duplicates)} duplicates
              {dead > 0 && (
                <>
                  {", "}
                  <Link href="/pipeline">{compact(dead)} dead letters</Link>
                </>
              )}
            </>
          )
        }
      />
      <EstimateTile label="Users" estimate={analytics?.uniqueUsers} range={analytics?.range} />
      <EstimateTile
        label="Sessions"
        estimate={analytics?.uniqueSessions}
        range={analytics?.range}
      />
    </div>
  );
}

function EstimateTile(props: { label: string; estimate?: Estimate | null; range?: Range }) {
  const { label, estimate, range } = props;
  return (
    <Tile
      label={`${label}${range ? `, ${range}` : ""}`}
      value={estimate ? compact(Math.round(estimate.estimate)) : "–"}
      note={
        estimate === null ? "not known" : estimate && `estimated, ±${share(estimate.standardError)}`
      }
    />
  );
}

function Chart({ series, joined }: { series: Series; joined: number }) {
  const data = useMemo(() => stack(coarser(series, joined), SERIES_COLOURS), [series, joined]);
  const colourOf = useColours();
  if (data.types.length === 0) {
    return <Empty title="Nothing arrived in this time" />;
  }
  return (
    <Suspense fallback={<Loading lines={6} />}>
      <TimeChart data={data} colourOf={colourOf} label="Events per second by type" />
    </Suspense>
  );
}

function FirstSteps() {
  return (
    <Panel className="first-steps">
      <h2>Nothing has arrived yet</h2>
      <p>
        Send the first event from <Link href="/start">Get started</Link>, click around on{" "}
        <Link href="/demo">the demo page</Link>, or run <code>make demo</code> in a second shell. It
        shows here within seconds.
      </p>
    </Panel>
  );
}
