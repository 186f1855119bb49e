import { type KeyMap, useKeys } from "./keys.ts";
import { useScoped } from "./scoped.ts";

export interface Selection<T> {
  /** The row that j and k move. */
  active: string | null;
  opened: T | null;
  open: (item: T) => void;
  close: () => void;
}

/**
 * Moves through a list with j, k, Enter and Escape. What is opened stays so when the list changes
 * under it: the item itself is kept, not its place. In a list of another `scope` nothing is.
 */
export function useSelection<T extends { id: string }>(
  items: readonly T[],
  scope: unknown,
  onMove?: (index: number) => void,
): Selection<T> {
  const [active, setActive] = useScoped<string | null>(scope, null);
  const [opened, setOpened] = useScoped<T | null>(scope, null);
  const move = (by: number) => {
    const at = items.findIndex(({ id }) => id === active);
    const next = at < 0 ? 0 : Math.min(items.length - 1, Math.max(0, at + by));
    const item = items[next];
    if (!item) return;
    setActive(item.id);
    if (opened) setOpened(item);
    onMove?.(next);
  };
  const open = (item: T) => {
    setActive(item.id);
    setOpened(item);
  };
  const close = () => setOpened(null);
  const moves: KeyMap = {
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => {
      const item = items.find(({ id }) => id === active);
      if (item) open(item);
    },
  };
  // Over an empty list they are the browser's.
  useKeys(items.length > 0 ? { ...moves, Escape: close } : { Escape: close });
  return { active, opened, open, close };
}
