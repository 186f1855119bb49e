const PATHS = {
  overview: "M4 19V11 M10 19V5 M16 19v-6 M21 19H3",
  live: "M3 12h4l3-7 4 14 3-7h4",
  events: "M4 6h16 M4 12h16 M4 18h10",
  pipeline: "M3 12h4 M17 12h4 M7 8h10v8H7z M12 8V4 M12 20v-4",
  usage: "M4 16a8 8 0 1 1 16 0 M12 16l4-5 M4 19.5h16",
  key: "M12.5 8.5a4.5 4.5 0 1 0-9 0 4.5 4.5 0 0 0 9 0z M11.2 11.7L20 20.5 M16 16.5l2.5-2.5",
  leave: "M10 5H5v14h5 M14 8l4 4-4 4 M18 12H9",
  start: "M8 8l-4 4 4 4 M16 8l4 4-4 4 M13 6l-2 12",
  demo: "M5 4l13 8-6 1.5L9.5 19z M13 13.5l4.5 5",
  pause: "M9 5v14 M15 5v14",
  play: "M7 4.5v15l12-7.5z",
  close: "M6 6l12 12 M18 6L6 18",
  copy: "M9 9h10v11H9z M5 15V4h10",
  done: "M5 12.5l4.5 4.5L19 7",
  older: "M9 5l7 7-7 7",
  newer: "M15 5l-7 7 7 7",
  export: "M12 4v11 M7.5 11L12 15.5 16.5 11 M4 20h16",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.4 1.4 M17.6 17.6L19 19 M19 5l-1.4 1.4 M6.4 17.6L5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  keyboard: "M3 7h18v10H3z M7 11h.01 M11 11h.01 M15 11h.01 M8 14h8",
  refresh: "M20 11a8 8 0 1 0-2.3 6.3 M20 5v6h-6",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3z M5 17a3 3 0 0 1 3-3h11",
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: what it stands for is said in words beside it or in a label. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.75"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
