import type { EventFilters } from "../lib/filters.ts";
import { open, withParams } from "./client.ts";

/** All of it is held in memory until it is saved; curl has no such bound. */
export const EXPORT_EVENTS = 100_000;

const NEWLINE = 0x0a;

export interface Exported {
  /** One event per line. */
  content: Blob;
  /** Whether there may be more. */
  isCut: boolean;
}

/** Reads all events that match, as far as the bound goes. */
export async function exportEvents(
  { types, ...rest }: EventFilters,
  onProgress: (events: number) => void,
  signal: AbortSignal,
): Promise<Exported> {
  const url = withParams("/events", { type: types, ...rest, limit: EXPORT_EVENTS });
  const response = await open(url, { headers: { accept: "application/x-ndjson" }, signal });
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let events = 0;
  const reader = response.body?.getReader();
  for (;;) {
    // Fails when the answer is broken off before its end: half of an export is none.
    const read = await reader?.read();
    if (!read || read.done) break;
    parts.push(read.value);
    events += lines(read.value);
    onProgress(events);
  }
  const content = new Blob(parts, { type: "application/x-ndjson" });
  return { content, isCut: events >= EXPORT_EVENTS };
}

function lines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
