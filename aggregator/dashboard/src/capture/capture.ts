export type Captured = (eventType: string, payload: Record<string, unknown>) => void;

/** As the browser-tracking services do: a few per second tell the same story as a hundred. */
export const MOVE_EVERY_MS = 500;
export const SCROLL_AFTER_MS = 300;

const LABEL_CHARACTERS = 60;

/**
 * Captures page loads, clicks, moves (throttled) and scrolls (debounced) inside an element.
 *
 * Keys are never captured, nor what is in a form field: of a click on one only its kind is told.
 */
export function startCapture(area: HTMLElement, captured: Captured): () => void {
  const clicked = (event: MouseEvent) => {
    if (event.target instanceof Element) captured("click", describe(event.target, event, area));
  };
  const moved = throttled(MOVE_EVERY_MS, (event: MouseEvent) =>
    captured("mousemove", place(event, area)),
  );
  const scrolled = debounced(SCROLL_AFTER_MS, () => {
    const height = area.scrollHeight - area.clientHeight;
    const depth = height > 0 ? Math.round((area.scrollTop / height) * 100) : 100;
    captured("scroll", { top: Math.round(area.scrollTop), depthPercent: depth });
  });
  area.addEventListener("click", clicked);
  area.addEventListener("mousemove", moved);
  area.addEventListener("scroll", scrolled.run, { passive: true });
  captured("page_load", {
    path: window.location.pathname,
    viewport: { width: window.innerWidth, height: window.innerHeight },
  });
  return () => {
    area.removeEventListener("click", clicked);
    area.removeEventListener("mousemove", moved);
    area.removeEventListener("scroll", scrolled.run);
    scrolled.cancel();
  };
}

function place(event: MouseEvent, area: HTMLElement): { x: number; y: number } {
  const box = area.getBoundingClientRect();
  return { x: Math.round(event.clientX - box.left), y: Math.round(event.clientY - box.top) };
}

function describe(target: Element, event: MouseEvent, area: HTMLElement) {
  const element = target.closest("button, a, input, textarea, select, [data-name]") ?? target;
  const isField = element.matches("input, textarea, select");
  const label = isField ? element.getAttribute("type") : labelOf(element);
  return {
    element: element.tagName.toLowerCase(),
    label: (label ?? "").slice(0, LABEL_CHARACTERS),
    ...place(event, area),
  };
}

function labelOf(element: Element): string {
  const named = element.getAttribute("data-name") ?? element.getAttribute("aria-label");
  return named ?? element.textContent?.trim().replace(/\s+/g, " ") ?? "";
}

function throttled<A>(ms: number, run: (argument: A) => void): (argument: A) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (argument) => {
    const now = performance.now();
    if (now - last < ms) return;
    last = now;
    run(argument);
  };
}

function debounced(ms: number, run: () => void): { run: () => void; cancel: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    run() {
      clearTimeout(timer);
      timer = setTimeout(run, ms);
    },
    cancel: () => clearTimeout(timer),
  };
}
