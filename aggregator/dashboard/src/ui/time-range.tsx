import type { EventFilters } from "../lib/filters.ts";
import { TextFilter } from "./filter-bar.tsx";

const PRESETS = [
  { from: "-15m", text: "last 15 minutes" },
  { from: "-1h", text: "last hour" },
  { from: "-24h", text: "last 24 hours" },
  { from: "-7d", text: "last 7 days" },
];

const ANY = "";
const CUSTOM = "custom";

interface TimeRangeProps {
  filters: EventFilters;
  onChange: (filters: EventFilters) => void;
}

/** From and to: one of a few spans up to now, or any two times the API takes. */
export function TimeRange({ filters, onChange }: TimeRangeProps) {
  const { from, to } = filters;
  const preset = PRESETS.find((each) => each.from === from && to === undefined);
  const value = from === undefined && to === undefined ? ANY : (preset?.from ?? CUSTOM);
  const choose = (chosen: string) => {
    if (chosen !== CUSTOM) {
      onChange({ ...filters, from: chosen === ANY ? undefined : chosen, to: undefined });
      return;
    }
    const hour = 3_600_000;
    const start = new Date(Date.now() - hour);
    onChange({ ...filters, from: start.toISOString(), to: new Date().toISOString() });
  };
  return (
    <>
      <label className="field select">
        <span className="unseen">Time</span>
        <select value={value} onChange={(event) => choose(event.target.value)}>
          <option value={ANY}>any time</option>
          {PRESETS.map((each) => (
            <option key={each.from} value={each.from}>
              {each.text}
            </option>
          ))}
          <option value={CUSTOM}>from … to …</option>
        </select>
      </label>
      {value === CUSTOM && (
        <>
          <TextFilter
            label="From"
            placeholder="from: -2h, or a time"
            value={from}
            onChange={(next) => onChange({ ...filters, from: next })}
          />
          <TextFilter
            label="To"
            placeholder="to: now"
            value={to}
            onChange={(next) => onChange({ ...filters, to: next })}
          />
        </>
      )}
    </>
  );
}
