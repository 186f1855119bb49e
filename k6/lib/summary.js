// What each script says at its end: a text for people, and with SUMMARY=FILE all figures as JSON.

const shown = ({ contains, values }) => {
  const unit = contains === 'time' ? ' ms' : '';
  return Object.entries(values)
    .map(([name, value]) => `${name}=${Number(value.toFixed(2))}${unit}`)
    .join('  ');
};

/** For `handleSummary`, which k6 calls with everything it measured. */
export function summary(data) {
  const lines = [];
  for (const [name, metric] of Object.entries(data.metrics).sort()) {
    const thresholds = Object.entries(metric.thresholds || {});
    for (const [threshold, { ok }] of thresholds) {
      lines.push(`${ok ? 'ok    ' : 'BROKEN'} ${name}: ${threshold}`);
    }
    if (thresholds.length > 0) lines.push(`         ${shown(metric)}`);
  }
  const out = { stdout: `\n${lines.join('\n')}\n` };
  if (__ENV.SUMMARY) out[__ENV.SUMMARY] = JSON.stringify(data, null, 2);
  return out;
}
