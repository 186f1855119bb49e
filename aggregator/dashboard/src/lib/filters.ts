/** What a list or a feed of events is narrowed to; all of it lives in the URL. */
export interface EventFilters {
  types: string[];
  userId?: string;
  sessionId?: string;
  from?: string;
  to?: string;
}

const NAMES = ["userId", "sessionId", "from", "to"] as const;

export function readFilters(search: URLSearchParams): EventFilters {
  const named = search.getAll("type").flatMap((value) => value.split(","));
  const types = [...new Set(named.map((type) => type.trim()).filter((type) => type !== ""))];
  const filters: EventFilters = { types };
  for (const name of NAMES) {
    const value = search.get(name)?.trim();
    if (value) filters[name] = value;
  }
  return filters;
}

/** The same parameters with other filters; a cursor belongs to its filters and goes with them. */
export function writeFilters(search: URLSearchParams, filters: EventFilters): URLSearchParams {
  const next = new URLSearchParams(search);
  for (const name of ["type", "cursor", "id", ...NAMES]) next.delete(name);
  for (const type of filters.types) next.append("type", type);
  for (const name of NAMES) {
    const value = filters[name]?.trim();
    if (value) next.set(name, value);
  }
  return next;
}

export function isFiltered(filters: EventFilters): boolean {
  return filters.types.length > 0 || NAMES.some((name) => filters[name] !== undefined);
}

/** A link to a screen that shows events with these filters. */
export function linkTo(screen: string, filters: Partial<EventFilters>): string {
  const query = writeFilters(new URLSearchParams(), { types: [], ...filters }).toString();
  return query === "" ? screen : `${screen}?${query}`;
}
