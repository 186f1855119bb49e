/** With what newer browsers have (ES2026), and TypeScript's lib does not know yet. */
type Newer = JSON & { rawJSON?: (source: string) => unknown };

/** A cheap look at a text for integers that may be too long; digits after a point are none. */
const LONG = /[^.\d]\d{16}/;
const INTEGER = /^-?\d+$/;

/**
 * An integer that a `number` would round. No bare `JSON.rawJSON`: TanStack Query takes that for a
 * plain object and copies its members, and the copy is printed as an object.
 */
class LongInteger {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }

  /** Has `JSON.stringify` print all digits. */
  toJSON(): unknown {
    return (JSON as Newer).rawJSON?.(this.source);
  }
}

/**
 * `JSON.parse`, but where the browser tells what was written, integers beyond 2^53 keep all their
 * digits; elsewhere they are rounded as ever. Such an integer is no `number`, but to be shown.
 */
export function parseExact(text: string): unknown {
  // A reviver is called for every member, which most texts can do without.
  if (!(JSON as Newer).rawJSON || !LONG.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_name: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    const isRounded = source !== undefined && INTEGER.test(source) && !Number.isSafeInteger(value);
    return isRounded ? new LongInteger(source) : value;
  });
}
