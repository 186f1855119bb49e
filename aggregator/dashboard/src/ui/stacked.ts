import type { Series, TypeSeries } from "../api/types.ts";

/** The points of a chart: what a stacked area needs, and what its legend says. */
export interface Stacked {
  types: string[];
  /** Seconds since 1970. */
  times: number[];
  /** Events per second, by type as in `types`, then by time. */
  rates: number[][];
  /** The same with all that lie under it added. */
  tops: number[][];
}

export const OTHERS = "__other__";

/**
 * Stacks the largest types and adds up the rest. The last point is left out: its step is still
 * being filled, and would show as a fall that is none.
 */
export function stack(series: Series, typesMax: number): Stacked {
  const sorted = bySize(series);
  const named = sorted.filter(({ type }) => type !== OTHERS);
  const kept = named.slice(0, typesMax);
  const rest = sorted.filter((each) => !kept.includes(each));
  const types = kept.map(({ type }) => type);
  const groups = kept.map((each) => [each]);
  if (rest.length > 0) {
    types.push(OTHERS);
    groups.push(rest);
  }
  const step = series.stepSeconds;
  const steps = Math.max(0, Math.round((series.to - series.from) / (step * 1000)) - 1);
  const times = Array.from({ length: steps }, (_, at) => series.from / 1000 + at * step);
  const rates = groups.map((group) =>
    times.map((_, at) => sum(group.map(({ points }) => points[at]?.[1] ?? 0)) / step),
  );
  const tops: number[][] = [];
  for (const [at, own] of rates.entries()) {
    const below = tops[at - 1];
    tops.push(below ? own.map((value, index) => value + (below[index] ?? 0)) : own);
  }
  return { types, times, rates, tops };
}

/** Joins `steps` steps to one, so that a chart of seconds shows the trend and not the noise. */
export function coarser(series: Series, steps: number): Series {
  const stepMs = series.stepSeconds * steps * 1000;
  // On whole steps: else every second would be drawn in another group each time.
  const from = Math.ceil(series.from / stepMs) * stepMs;
  return {
    ...series,
    stepSeconds: series.stepSeconds * steps,
    from,
    to: from + Math.ceil((series.to - from) / stepMs) * stepMs,
    series: series.series.map((each) => {
      const points = new Map<number, number>();
      for (const [at, count] of each.points) {
        if (at < from) continue;
        const group = Math.floor(at / stepMs) * stepMs;
        points.set(group, (points.get(group) ?? 0) + count);
      }
      return { ...each, points: [...points] };
    }),
  };
}

/** The types that occur, the largest first. */
export function bySize({ series }: Series): TypeSeries[] {
  return series.filter(({ total }) => total > 0).sort((one, other) => other.total - one.total);
}

/** All types together, per step: for bars and for the rate of the last seconds. */
export function totals(series: Series): number[] {
  const steps = Math.round((series.to - series.from) / (series.stepSeconds * 1000));
  return Array.from({ length: Math.max(0, steps) }, (_, at) =>
    sum(series.series.map(({ points }) => points[at]?.[1] ?? 0)),
  );
}

/** Events per second over the last full seconds; the one being filled does not count. */
export function rateNow(perSecond: readonly number[], seconds: number): number {
  const full = perSecond.slice(0, -1).slice(-seconds);
  return full.length === 0 ? 0 : sum(full) / full.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
