import { bytes, compact, duration } from "../lib/format.ts";
import type { Key, Limits } from "./access.ts";

/** Whether a key is taken: `ending` still is, and will not be. */
export type KeyState = "good" | "ending" | "ended";

/** When a key ends or has ended, Unix ms: by what comes first. */
export function endOf({ expiresAt, revokedAt }: Key): number | null {
  const ends = [expiresAt, revokedAt].flatMap((at) => (at ? [Date.parse(at)] : []));
  return ends.length === 0 ? null : Math.min(...ends);
}

export function stateOf(key: Key, now: number): KeyState {
  const end = endOf(key);
  if (end === null) return "good";
  return end <= now ? "ended" : "ending";
}

/** The state of a key in words. */
export function inWords(key: Key, now: number): string {
  const end = endOf(key);
  if (end === null) return "good";
  if (end > now) return `ends in ${duration(end - now)}`;
  return key.revokedAt && Date.parse(key.revokedAt) <= now ? "revoked" : "expired";
}

/** Keys that are taken first, the newest of them first. */
export function inOrder(keys: readonly Key[], now: number): Key[] {
  const isEnded = (key: Key) => Number(stateOf(key, now) === "ended");
  return [...keys].sort(
    (a, b) => isEnded(a) - isEnded(b) || b.createdAt.localeCompare(a.createdAt),
  );
}

/** What may be sent, on one line. */
export function limitsInWords(limits: Limits): string {
  const { events, bytes: size } = limits;
  const parts = [
    events && `${compact(events.perSecond)} events/s`,
    size && `${bytes(size.perSecond)}/s`,
  ].filter(Boolean);
  return parts.length === 0 ? "none" : parts.join(", ");
}
