const WIDTH = 120;
const HEIGHT = 26;

/** A line without axes: its shape is what matters, the figure stands beside it. */
export function Sparkline({ values, colour }: { values: readonly number[]; colour: string }) {
  const top = Math.max(1, ...values);
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, at) => {
    const y = HEIGHT - 2 - (value / top) * (HEIGHT - 4);
    return `${(at * step).toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <polyline
        points={`0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`}
        fill={colour}
        fillOpacity="0.14"
        stroke="none"
      />
      <polyline
        points={points.join(" ")}
        fill="none"
        stroke={colour}
        strokeWidth="1.5"
        vectorEffect="non-scaling-stroke"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** One bar for each second; the last one is still being filled. */
export function Bars({ values }: { values: readonly number[] }) {
  const top = Math.max(1, ...values);
  return (
    <svg
      className="bars"
      viewBox={`0 0 ${Math.max(1, values.length) * 4} 40`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {values.map((value, at) => {
        const height = value === 0 ? 0.75 : Math.max(1.5, (value / top) * 40);
        return (
          <rect
            // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
            key={at}
            className={at === values.length - 1 ? "filling" : value === 0 ? "zero" : undefined}
            x={at * 4 + 0.5}
            y={40 - height}
            width="3"
            height={height}
          />
        );
      })}
    </svg>
  );
}
