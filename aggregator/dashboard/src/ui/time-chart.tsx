import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clockOf, dayOf, rate, time } from "../lib/format.ts";
import { useTheme } from "../lib/theme.ts";
import { TypeName } from "./parts.tsx";
import type { Stacked } from "./stacked.ts";

interface TimeChartProps {
  data: Stacked;
  colourOf: (type: string) => string;
  label: string;
  height?: number;
}

/** Stacked events per second over time. The figures are in the legend, in words too. */
export default function TimeChart({ data, colourOf, label, height = 240 }: TimeChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [theme] = useTheme();
  const latest = useRef(data);
  latest.current = data;
  // Series are fixed when a chart is made: other types, or other colours, are another chart.
  const paint = data.types.map(colourOf).join();

  // biome-ignore lint/correctness/useExhaustiveDependencies: theme changes what the variables mean
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const colour = resolver(element);
    const fills = paint === "" ? [] : paint.split(",").map(colour);
    const made = new uPlot(
      {
        width: Math.max(200, element.clientWidth),
        height,
        legend: { show: false },
        padding: [8, 4, 0, 0],
        cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
        hooks: { setCursor: [(self) => setAt(self.cursor.idx ?? null)] },
        scales: { y: { range: (_self, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
        axes: [
          { ...axis(colour), size: 28, values: (_self, ticks) => ticks.map(timeLabel) },
          { ...axis(colour), size: 46, values: (_self, ticks) => ticks.map(rate) },
        ],
        // The uppermost first, so that each area covers what lies over it.
        series: [
          {},
          ...[...fills].reverse().map((stroke) => ({
            stroke,
            width: 1,
            fill: colour(mixed(stroke)),
            points: { show: false },
          })),
        ],
      },
      aligned(latest.current),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(200, element.clientWidth), height }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [paint, height, theme]);

  useEffect(() => plot.current?.setData(aligned(data)), [data]);

  const shownAt = at !== null && at < data.times.length ? at : null;
  const peak = Math.max(0, ...(data.tops.at(-1) ?? [0]));
  return (
    <figure className="chart">
      <div ref={host} role="img" aria-label={`${label}: at most ${rate(peak)} events per second`} />
      <figcaption className="legend">
        <span className="legend-time">
          {shownAt === null
            ? `peak ${rate(peak)}/s`
            : `${time((data.times[shownAt] ?? 0) * 1000).slice(0, -4)}, per second`}
        </span>
        {data.types.map((type, index) => (
          <span key={type} className="legend-entry">
            <TypeName type={type} colour={colourOf(type)} />
            {shownAt !== null && <b>{rate(data.rates[index]?.[shownAt] ?? 0)}</b>}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function aligned(data: Stacked): uPlot.AlignedData {
  return [data.times, ...[...data.tops].reverse()];
}

function axis(colour: (text: string) => string): uPlot.Axis {
  return {
    stroke: colour("var(--text-faint)"),
    grid: { stroke: colour("var(--line)"), width: 1 },
    ticks: { show: false },
    font: "11px ui-sans-serif, system-ui, sans-serif",
  };
}

function timeLabel(seconds: number): string {
  const date = new Date(seconds * 1000);
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  return isMidnight ? dayOf(date) : clockOf(date);
}

/** Canvas knows no variables: the browser works out what they stand for. */
function resolver(element: HTMLElement): (text: string) => string {
  return (text) => {
    const probe = document.createElement("span");
    probe.style.color = text;
    element.append(probe);
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  };
}

/** An area is opaque, or those behind it would shine through: its colour, mostly surface. */
function mixed(colour: string): string {
  return `color-mix(in srgb, ${colour} 32%, var(--surface))`;
}
