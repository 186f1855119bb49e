import { isSignedIn, may, type Role, type Session } from "./session/session.ts";
import type { IconName } from "./ui/icons.tsx";

export interface Screen {
  path: string;
  name: string;
  icon: IconName;
  /** After `g`. */
  key: string;
  /** The role it takes, where it is not for everybody. */
  needs?: Role;
  /** Says nothing where nobody has to say who they are. */
  isAboutKeys?: boolean;
}

/** All screens; the aggregator serves the page under the same paths (aggregator/src/dashboard.rs). */
export const SCREENS: readonly Screen[] = [
  { path: "/", name: "Overview", icon: "overview", key: "o" },
  { path: "/live", name: "Live", icon: "live", key: "l" },
  { path: "/browse", name: "Events", icon: "events", key: "e" },
  { path: "/pipeline", name: "Pipeline", icon: "pipeline", key: "p", needs: "admin" },
  { path: "/quota", name: "Usage", icon: "usage", key: "u", isAboutKeys: true },
  { path: "/access", name: "Access", icon: "key", key: "a", needs: "admin", isAboutKeys: true },
  { path: "/start", name: "Get started", icon: "start", key: "s" },
  { path: "/demo", name: "Demo", icon: "demo", key: "d" },
];

/** Those that are of use to whoever asks. */
export function screensFor(session: Session): readonly Screen[] {
  return SCREENS.filter(
    ({ needs = "viewer", isAboutKeys = false }) =>
      may(session.role, needs) && (!isAboutKeys || isSignedIn(session)),
  );
}
