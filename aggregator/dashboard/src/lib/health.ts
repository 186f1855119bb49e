import { ApiError } from "../api/client.ts";
import type { Pipeline } from "../api/types.ts";
import { ago, compact, duration } from "./format.ts";

export interface Health {
  tone: "good" | "warn" | "bad" | "plain";
  text: string;
  detail: string;
}

/** A backlog that is older than this is one that somebody waits for. */
const BEHIND_MS = 10_000;

export function backlog({ totals }: Pipeline): number {
  return Math.max(0, totals.backlog);
}

/** What a person wants to know at a glance: is all of it stored, and if not, how far behind is it? */
export function health(pipeline: Pipeline | undefined, error: Error | null, now: number): Health {
  if (error) return failed(error);
  if (!pipeline) return { tone: "plain", text: "Connecting", detail: "Asking the aggregator" };
  const waits = backlog(pipeline);
  const through = pipeline.storedThrough;
  const readers = pipeline.partitions.flatMap(({ consumers }) => consumers).length;
  const since =
    through === null ? "" : `Everything accepted up to ${ago(through, now)} is stored. `;
  if (pipeline.mongodb === null) {
    const detail = `${since}Accepted events wait safely in Redis until it answers`;
    return { tone: "bad", text: "MongoDB is away", detail };
  }
  if (readers === 0) {
    const detail = "No processor has read yet; accepted events wait safely in Redis";
    return { tone: waits > 0 ? "bad" : "warn", text: "No processor", detail };
  }
  const age = behind(pipeline);
  if (waits > 0 && age > BEHIND_MS) {
    const text = `${compact(waits)} waiting, ${duration(age)} behind`;
    return { tone: "warn", text, detail: `${since}The oldest unstored entry waits.` };
  }
  if (waits > 0) return { tone: "good", text: `Storing ${compact(waits)}`, detail: since };
  return { tone: "good", text: "All stored", detail: since };
}

/**
 * How long the oldest of what waits has waited, by the clocks of the services: `storedThrough` knows
 * of what no processor has read yet, and is the time of the answer where nothing waits.
 */
function behind({ asOf, storedThrough, partitions }: Pipeline): number {
  const pending = partitions.map(({ oldestPendingAgeMs }) => oldestPendingAgeMs ?? 0);
  return Math.max(asOf - (storedThrough ?? asOf), ...pending, 0);
}

function failed(error: Error): Health {
  if (error instanceof ApiError && error.status === 0) {
    return { tone: "bad", text: "No connection", detail: "The aggregator does not answer" };
  }
  if (error instanceof ApiError && error.code === "counters_unavailable") {
    return { tone: "bad", text: "Redis is away", detail: error.message };
  }
  if (error instanceof ApiError && error.code === "store_unavailable") {
    return { tone: "bad", text: "MongoDB is away", detail: error.message };
  }
  return { tone: "bad", text: "Unknown", detail: error.message };
}
