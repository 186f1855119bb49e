import { useEffect, useState } from "react";

export type Theme = "light" | "dark";

const STORED = "evp-theme";
const prefersDark = "(prefers-color-scheme: dark)";

/** The theme in use, and how to switch it; without a choice it is the system's. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(current);
  useEffect(() => {
    const media = window.matchMedia(prefersDark);
    const changed = () => setTheme(current());
    media.addEventListener("change", changed);
    window.addEventListener("evp-theme", changed);
    return () => {
      media.removeEventListener("change", changed);
      window.removeEventListener("evp-theme", changed);
    };
  }, []);
  return [theme, () => choose(theme === "dark" ? "light" : "dark")];
}

function current(): Theme {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return window.matchMedia(prefersDark).matches ? "dark" : "light";
}

function choose(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  window.dispatchEvent(new Event("evp-theme"));
}
