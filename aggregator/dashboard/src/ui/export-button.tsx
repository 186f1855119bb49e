import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { EXPORT_EVENTS, exportEvents } from "../api/export.ts";
import type { EventFilters } from "../lib/filters.ts";
import { compact, count } from "../lib/format.ts";
import { Icon } from "./icons.tsx";

/** Saves all events that match the filters, one per line. */
export function ExportButton({ filters }: { filters: EventFilters }) {
  const [events, setEvents] = useState(0);
  const running = useRef<AbortController | null>(null);
  const saving = useMutation({
    mutationFn: async (filters: EventFilters) => {
      setEvents(0);
      running.current = new AbortController();
      const { content, isCut } = await exportEvents(filters, setEvents, running.current.signal);
      save(content, fileName());
      return isCut;
    },
  });
  useEffect(() => () => running.current?.abort(), []);
  // What is said of one export is not said of another one.
  const isOfThese = JSON.stringify(saving.variables) === JSON.stringify(filters);
  const { data, error } = isOfThese ? saving : { data: undefined, error: null };
  const failed = error && !isCancelled(error) ? error : null;
  if (saving.isPending) {
    return (
      <button type="button" className="button" onClick={() => running.current?.abort()}>
        <span role="status">{compact(events)} read</span>
        <b>Cancel</b>
      </button>
    );
  }
  return (
    <button
      type="button"
      className="button"
      onClick={() => saving.mutate(filters)}
      title={failed?.message ?? hint(data)}
    >
      <Icon name="export" size={15} />
      {failed ? "Export failed: try again" : "Export NDJSON"}
      {data === true && <span className="soft">first {compact(EXPORT_EVENTS)}</span>}
    </button>
  );
}

function hint(isCut?: boolean): string {
  const bound = `The newest ${count(EXPORT_EVENTS)} that match, one per line`;
  return isCut === true ? `${bound}. For more, narrow the time or use curl` : bound;
}

function isCancelled(error: Error): boolean {
  return error.name === "AbortError";
}

function save(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function fileName(): string {
  return `events-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.ndjson`;
}
