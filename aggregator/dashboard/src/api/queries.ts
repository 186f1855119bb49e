import { keepPreviousData, QueryClient, queryOptions } from "@tanstack/react-query";
import { parseExact } from "../lib/exact.ts";
import type { EventFilters } from "../lib/filters.ts";
import { ApiError, get } from "./client.ts";
import type {
  Analytics,
  DeadLetterDetail,
  DeadLetterFilter,
  DeadLetterPage,
  EventPage,
  FoundEvent,
  Info,
  Metrics,
  Pipeline,
  Range,
  Series,
} from "./types.ts";

const SECOND_MS = 1_000;

/** Answers that are wrong stay wrong; the rest is asked again while the screen is looked at. */
function retry(failures: number, error: Error): boolean {
  return error instanceof ApiError && error.retryable && failures < 1;
}

export function queryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { retry, retryDelay: SECOND_MS, networkMode: "always", staleTime: SECOND_MS },
      mutations: { networkMode: "always" },
    },
  });
}

export const metricsQuery = queryOptions({
  queryKey: ["metrics"],
  queryFn: ({ signal }) => get<Metrics>("/metrics", {}, signal),
  refetchInterval: SECOND_MS,
});

export const totalsQuery = queryOptions({
  queryKey: ["metrics", "all"],
  queryFn: ({ signal }) => get<Metrics>("/metrics", { window: "all" }, signal),
  refetchInterval: 2 * SECOND_MS,
});

export function seriesQuery(window: string, step: "second" | "minute" | "hour", everyMs: number) {
  return queryOptions({
    queryKey: ["series", window, step],
    queryFn: ({ signal }) => get<Series>("/metrics/series", { window, step }, signal),
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  });
}

export function analyticsQuery(range: Range) {
  return queryOptions({
    queryKey: ["analytics", range],
    queryFn: ({ signal }) => get<Analytics>("/analytics", { range }, signal),
    refetchInterval: 5 * SECOND_MS,
    placeholderData: keepPreviousData,
  });
}

export function eventsQuery(filters: EventFilters, limit: number, cursor: string | null) {
  const { types, ...rest } = filters;
  return queryOptions({
    queryKey: ["events", filters, limit, cursor],
    queryFn: ({ signal }) =>
      get<EventPage>("/events", { type: types, ...rest, limit, cursor }, signal, parseExact),
    placeholderData: keepPreviousData,
    staleTime: 30 * SECOND_MS,
  });
}

export function eventQuery(id: string, timestamp?: string) {
  return queryOptions({
    queryKey: ["event", id, timestamp],
    queryFn: ({ signal }) =>
      get<FoundEvent>(`/events/${encodeURIComponent(id)}`, { timestamp }, signal, parseExact),
  });
}

export const pipelineQuery = queryOptions({
  queryKey: ["pipeline"],
  queryFn: ({ signal }) => get<Pipeline>("/admin/pipeline", {}, signal),
  refetchInterval: 2 * SECOND_MS,
});

export function deadLettersQuery(filter: DeadLetterFilter, cursor: string | null) {
  return queryOptions({
    queryKey: ["dead-letters", "list", filter, cursor],
    queryFn: ({ signal }) =>
      get<DeadLetterPage>("/admin/dead-letters", { ...filter, limit: 50, cursor }, signal),
    refetchInterval: 5 * SECOND_MS,
    placeholderData: keepPreviousData,
  });
}

export function deadLetterQuery(id: string) {
  return queryOptions({
    queryKey: ["dead-letters", "one", id],
    queryFn: ({ signal }) =>
      get<DeadLetterDetail>(
        `/admin/dead-letters/${encodeURIComponent(id)}`,
        {},
        signal,
        parseExact,
      ),
  });
}

export const infoQuery = queryOptions({
  queryKey: ["info"],
  queryFn: ({ signal }) => get<Info>("/admin/info", {}, signal),
  staleTime: Number.POSITIVE_INFINITY,
});
