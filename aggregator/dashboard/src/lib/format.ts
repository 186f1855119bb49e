const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(LOCALE, { day: "2-digit", month: "short" });
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12,345` */
export function count(value: number): string {
  return whole.format(value);
}

/** `12.3K`, for where there is little room. */
export function compact(value: number): string {
  return value < 10_000 ? whole.format(value) : short.format(value);
}

/** A rate per second: one decimal while it matters. */
export function rate(value: number): string {
  return value < 100 && !Number.isInteger(value) ? value.toFixed(1) : compact(value);
}

export function share(value: number): string {
  return value > 0 && value < 0.001 ? "<0.1%" : percent.format(value);
}

/** `640 B`, `12.1 KiB` */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${unit === 0 || scaled >= 100 ? whole.format(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}

/** A length of time as people say it: `420 ms`, `3.2 s`, `4 min`. */
export function duration(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < 2 * MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < 2 * HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} days`;
}

/** How long ago that was; clocks that differ a little do not make it the future. */
export function ago(then: number, now: number): string {
  const passed = now - then;
  return passed < SECOND ? "now" : `${duration(passed)} ago`;
}

/** Local time with milliseconds; the date too unless it is today. */
export function time(at: number | string, now: number = Date.now()): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const text = `${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return date.toDateString() === new Date(now).toDateString()
    ? text
    : `${day.format(date)} ${text}`;
}

/** `16:42`, of a local time. */
export function clockOf(date: Date): string {
  return clock.format(date).slice(0, 5);
}

/** `21 Nov` */
export function dayOf(date: Date): string {
  return day.format(date);
}

/** What is worth reading of a payload on one line. */
export function preview(...values: (Record<string, unknown> | undefined)[]): string {
  const parts: string[] = [];
  for (const value of values) {
    for (const [name, inner] of Object.entries(value ?? {})) {
      parts.push(`${name}: ${typeof inner === "string" ? inner : JSON.stringify(inner)}`);
    }
  }
  const line = parts.join(" · ");
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

/** The end of an id tells neighbours apart; their beginning is the time. */
export function shortId(id: string): string {
  return id.length <= 14 ? id : `…${id.slice(-12)}`;
}
