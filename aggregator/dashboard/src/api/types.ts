// The answers of the aggregator, as docs/API.md describes them.

/** An event as `GET /events` lists it and `GET /stream` sends it. */
export interface EventItem {
  id: string;
  eventId?: string;
  eventType: string;
  userId?: string;
  sessionId?: string;
  timestamp: string;
  receivedAt?: string;
  priority?: number;
  metadata?: Record<string, unknown>;
  payload?: Record<string, unknown>;
}

export interface EventPage {
  items: EventItem[];
  nextCursor: string | null;
  /** Leads to what is newer; null where there is nothing. */
  prevCursor: string | null;
}

export type EventStatus = "stored" | "deadLettered";

/** `GET /events/{id}`: of a dead letter there may be nothing but the reason. */
export interface FoundEvent extends Partial<EventItem> {
  status: EventStatus;
  reason?: string;
  detail?: string;
  deadLetteredAt?: string;
}

export interface TypeCount {
  _id: string;
  count: number;
}

export interface Totals {
  events: number;
  byType: TypeCount[];
  /** Of all tenants together, as the three after it: told where nobody has to say who they are. */
  duplicates?: number;
  deadLettered?: number;
  appended?: number;
  backlog?: number;
}

export interface Metrics {
  totalEventsLastMinute: number;
  byType: TypeCount[];
  windowSeconds: number;
  asOf: string;
  totals?: Totals;
}

/** Unix milliseconds, and the count of the step that begins there. */
export type Point = [number, number];

export interface TypeSeries {
  type: string;
  points: Point[];
  total: number;
}

export interface Series {
  stepSeconds: number;
  from: number;
  to: number;
  series: TypeSeries[];
}

export const RANGES = ["15m", "1h", "24h", "7d"] as const;
export type Range = (typeof RANGES)[number];

export interface Estimate {
  estimate: number;
  standardError: number;
}

export interface Analytics {
  range: Range;
  from: number;
  to: number;
  asOf: number;
  totals: { events: number };
  byType: { type: string; count: number; share: number }[];
  /** Why the three below are null. */
  missingReason?: "not_enabled" | "incomplete" | null;
  topUsers: { userId: string; count: number; error: number }[] | null;
  uniqueUsers: Estimate | null;
  uniqueSessions: Estimate | null;
  overTime: { stepSeconds: number; points: Point[] };
}

export interface Consumer {
  name: string;
  pending: number;
  idleMs: number;
}

export interface Partition {
  partition: number;
  entries: number;
  lag: number | null;
  pending: number;
  oldestPendingAgeMs: number | null;
  memoryBytes: number | null;
  consumers: Consumer[];
}

export interface PipelineTotals {
  appended: number;
  stored: number;
  duplicates: number;
  deadLettered: number;
  /** Events appended and not acknowledged; may be below 0 for a moment. */
  backlog: number;
}

export interface Pipeline {
  asOf: number;
  storedThrough: number | null;
  totals: PipelineTotals;
  partitions: Partition[];
  redis: { version: string; usedMemoryBytes: number; maxMemoryBytes: number };
  /** null while MongoDB does not answer. */
  mongodb: { version: string } | null;
  deadLetters: { events: number; bytes: number } | null;
  /** null while MongoDB does not answer. */
  storage: Storage | null;
}

/** Where events lie by the time in their ids, and how they end. */
export interface Storage {
  floor: number | null;
  gone: number | null;
  diskUsedPermille: number | null;
  total: number;
  spans: Span[];
}

export interface Span {
  name: string;
  state: "hot" | "sealed" | "undated";
  from: number | null;
  to: number | null;
  events: number;
  bytes: number;
  next: "seal" | "drop" | null;
}

export interface DeadLetter {
  id: string;
  reason: string;
  message: string | null;
  eventType: string | null;
  at: number;
  bytes: number;
  partition: number | null;
  /** The stream entry of one that does not decode. */
  entry: string | null;
  /** The frame an event came in. */
  frame: string | null;
  replayedAt: number | null;
}

export interface DeadLetterPage {
  items: DeadLetter[];
  nextCursor: string | null;
}

export interface DeadLetterDetail extends DeadLetter {
  event: EventItem | null;
  /** Of an entry that does not decode. */
  fields?: unknown;
  decodesNow?: boolean;
}

export interface DeadLetterFilter {
  reason?: string;
  type?: string;
  /** Times as text, or Unix ms. */
  from?: string | number;
  to?: string | number;
}

/** Which dead letters an action is about: chosen ones, or all that match. */
export type DeadLetterChoice = { ids: string[] } | { filter: DeadLetterFilter };

export interface ActionOutcome {
  dryRun: boolean;
  /** Unix ms between which the filter looked; null where there was no bound. */
  from: number | null;
  to: number | null;
  matched: number;
  replayed: number;
  purged: number;
  remaining: number;
}

export interface Info {
  version: string;
  ingestUrl: string;
}

/** A frame of the live stream, once a second. */
export interface LiveMetrics {
  asOf: number;
  perSecond: number;
  totalEventsLastMinute: number;
  byType: TypeCount[];
}

/** What ingest answers to `POST /events`. */
export interface Accepted {
  accepted: number;
  duplicates: number;
  rejectedCount: number;
  /** The first hundred. */
  rejected: { index: number; code: string; message: string }[];
  ids?: (string | null)[];
}

/** Types beyond the first thousand are counted together under this name. */
export const OTHER_TYPES = "__other__";
