import {
  Component,
  type ComponentType,
  lazy,
  type ReactNode,
  Suspense,
  useEffect,
  useRef,
} from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { useKeys } from "./lib/keys.ts";
import { useTheme } from "./lib/theme.ts";
import Overview from "./screens/overview.tsx";
import { type Screen, screensFor } from "./screens.ts";
import { Account } from "./session/account.tsx";
import { SendKey } from "./session/send-key.tsx";
import { may, useSession } from "./session/session.ts";
import { HealthPill } from "./ui/health-pill.tsx";
import { Icon } from "./ui/icons.tsx";
import { Empty, IconButton, Loading, Notice } from "./ui/parts.tsx";
import { openShortcuts, Shortcuts } from "./ui/shortcuts.tsx";

// Each screen but the first is a file of its own, read when it is opened.
const Live = lazy(() => import("./screens/live.tsx"));
const Browse = lazy(() => import("./screens/browse.tsx"));
const Pipeline = lazy(() => import("./screens/pipeline.tsx"));
const Quota = lazy(() => import("./screens/quota.tsx"));
const Access = lazy(() => import("./screens/access.tsx"));
const Start = lazy(() => import("./screens/start.tsx"));
const Demo = lazy(() => import("./screens/demo.tsx"));

export function App() {
  const [location, navigate] = useLocation();
  const [theme, switchTheme] = useTheme();
  const main = useRef<HTMLElement>(null);
  const session = useSession();
  const screens = screensFor(session);
  const screen = screens.find(({ path }) => path === location);

  useKeys({
    ...Object.fromEntries(screens.map(({ key, path }) => [`g ${key}`, () => navigate(path)])),
    t: switchTheme,
    "?": openShortcuts,
  });
  useEffect(() => {
    // On a narrow screen not all of them fit beside each other.
    const current = document.querySelector(`.bar nav [href="${CSS.escape(location)}"]`);
    current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [location]);
  useEffect(() => {
    document.title = screen ? `${screen.name} · EVP` : "EVP";
  }, [screen]);

  return (
    <div className="shell">
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <header className="bar">
        <Link href="/" className="brand" aria-label="EVP, overview">
          <img src="/favicon.svg" alt="" width="24" height="24" />
          <span>EVP</span>
        </Link>
        <nav aria-label="Screens">
          {screens.map(({ path, name, icon }) => (
            <Link key={path} href={path} aria-current={path === location ? "page" : undefined}>
              <Icon name={icon} />
              <span>{name}</span>
            </Link>
          ))}
        </nav>
        <Account />
        <div className="bar-end">
          {may(session.role, "operator") && <HealthPill />}
          <a className="icon-button" href="/docs" aria-label="API reference" title="API reference">
            <Icon name="book" />
          </a>
          <IconButton icon="keyboard" label="Keyboard shortcuts (?)" onClick={openShortcuts} />
          <IconButton
            icon={theme === "dark" ? "sun" : "moon"}
            label={theme === "dark" ? "Light theme (t)" : "Dark theme (t)"}
            onClick={switchTheme}
          />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <SendKey>
          <Boundary key={location}>
            <Suspense fallback={<Loading lines={8} />}>
              <Screens screens={screens} />
            </Suspense>
          </Boundary>
        </SendKey>
      </main>
      <Shortcuts />
    </div>
  );
}

const COMPONENTS: Record<string, ComponentType> = {
  "/": Overview,
  "/live": Live,
  "/browse": Browse,
  "/pipeline": Pipeline,
  "/quota": Quota,
  "/access": Access,
  "/start": Start,
  "/demo": Demo,
};

function Screens({ screens }: { screens: readonly Screen[] }) {
  return (
    <Switch>
      {screens.map(({ path }) => (
        <Route key={path} path={path} component={COMPONENTS[path]} />
      ))}
      <Route>
        <Empty title="There is nothing here for you">
          <p>
            No screen has this address, or none that your role may see.{" "}
            <Link href="/">Go to the overview</Link>.
          </p>
        </Empty>
      </Route>
    </Switch>
  );
}

/** A fault on one screen leaves the others usable. */
class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Notice
        tone="bad"
        action={
          <button type="button" className="button" onClick={() => window.location.reload()}>
            Load the page again
          </button>
        }
      >
        <strong>This screen failed.</strong> {error.message}
      </Notice>
    );
  }
}
