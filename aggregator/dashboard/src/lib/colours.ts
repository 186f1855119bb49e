import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { totalsQuery } from "../api/queries.ts";
import { OTHER_TYPES } from "../api/types.ts";

/** How many types have a colour of their own; tokens.css has as many `--series-n`. */
export const SERIES_COLOURS = 8;
export const OTHER_COLOUR = "var(--series-other)";

/**
 * Gives each type a colour that depends on its name, so that it keeps it while others come and go;
 * of two that want the same one, the first in the list gets it.
 */
export function coloursOf(types: readonly string[]): Map<string, string> {
  const taken = new Set<number>();
  const colours = new Map<string, string>();
  for (const type of types) {
    if (type === OTHER_TYPES || taken.size === SERIES_COLOURS) {
      colours.set(type, OTHER_COLOUR);
      continue;
    }
    let wanted = hash(type) % SERIES_COLOURS;
    while (taken.has(wanted)) wanted = (wanted + 1) % SERIES_COLOURS;
    taken.add(wanted);
    colours.set(type, `var(--series-${wanted})`);
  }
  return colours;
}

const NONE: readonly string[] = [];

/**
 * The colours of the largest types, the same on every screen. In alphabetical order, so that they
 * do not change when one type overtakes another.
 */
export function useColours(): (type: string) => string {
  const { data } = useQuery({ ...totalsQuery, refetchInterval: 30_000, staleTime: 30_000 });
  const byType = data?.totals?.byType;
  return useMemo(() => {
    const names = byType?.map(({ _id }) => _id).filter((type) => type !== OTHER_TYPES) ?? NONE;
    const colours = coloursOf(names.slice(0, SERIES_COLOURS).sort());
    return (type) => colours.get(type) ?? (names.length === 0 ? alone(type) : OTHER_COLOUR);
  }, [byType]);
}

/** The colour of a type where no others are known. */
function alone(type: string): string {
  return coloursOf([type]).get(type) ?? OTHER_COLOUR;
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  }
  return value;
}
