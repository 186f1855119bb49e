import { useEffect, useRef } from "react";

/** What a key does on a screen, by `KeyboardEvent.key`; `g l` is a sequence of two. */
export type KeyMap = Record<string, () => void>;

const SEQUENCE_MS = 1_000;

/** Whether the key belongs to the element that has the focus. */
export function isTyping(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) return key !== "Escape";
  if (key.startsWith("Arrow")) return isScrolled(target);
  return (key === " " || key === "Enter") && ["BUTTON", "A", "SUMMARY"].includes(target.tagName);
}

/** Whether arrows scroll what has the focus: a `Scroll`, or what is open beside a list. */
function isScrolled(target: HTMLElement): boolean {
  const isRegion = target.tagName === "SECTION" && target.tabIndex === 0;
  return isRegion || target.closest(".drawer") !== null;
}

/** Runs the actions of `keys` while the component is there. */
export function useKeys(keys: KeyMap): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let first = "";
    let firstAt = 0;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target, event.key)) return;
      if (document.querySelector("dialog[open]")) return;
      const known = latest.current;
      const sequence = `${first} ${event.key}`;
      const isNext = event.timeStamp - firstAt < SEQUENCE_MS && known[sequence] !== undefined;
      const action = isNext ? known[sequence] : known[event.key];
      first = action ? "" : event.key;
      firstAt = event.timeStamp;
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}
