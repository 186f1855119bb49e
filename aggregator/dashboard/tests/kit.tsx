import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";
import * as access from "../fixture/access.ts";
import * as fixture from "../fixture/answers.ts";
import { eventAt } from "../fixture/events.ts";
import { OPEN, type Role, type Session, SessionContext } from "../src/session/session.ts";

export type Answer = (url: URL, init?: RequestInit) => unknown;

export const NOW = 1_795_000_000_000;

/** The fixture's answers, of which a test replaces some; a `Response` is taken as it is. */
export function serve(changes: Record<string, Answer> = {}): URL[] {
  const asked: URL[] = [];
  const answers: Record<string, Answer> = {
    "/metrics": (url) => fixture.metrics(NOW, url.searchParams.get("window") === "all"),
    "/metrics/series": (url) => fixture.series(NOW, url.searchParams),
    "/analytics": (url) => fixture.analytics(NOW, url.searchParams.get("range") ?? "15m"),
    "/admin/pipeline": () => fixture.pipeline(NOW),
    "/admin/dead-letters": () => fixture.deadLetters(NOW),
    "/sign-in": () => access.signIn(),
    "/usage": () => access.usage(NOW),
    "/admin/keys": () => access.keys(NOW),
    "/admin/members": () => access.members(NOW),
    "/admin/audit": () => access.audit(NOW),
    "/admin/tenants": () => access.tenants(),
    "/events": () => ({
      items: [eventAt(NOW), eventAt(NOW - 700)],
      nextCursor: "older",
      prevCursor: null,
    }),
    ...changes,
  };
  vi.stubGlobal("fetch", async (path: string, init?: RequestInit) => {
    const url = new URL(path, "http://evp");
    asked.push(url);
    const body = answers[url.pathname]?.(url, init);
    if (body instanceof Response) return body;
    return body === undefined ? problem(404, { code: "not_found" }) : Response.json(body);
  });
  return asked;
}

export function problem(status: number, body: Record<string, unknown>): Response {
  return new Response(JSON.stringify({ title: "it failed", ...body }), { status });
}

/** A live stream that never opens, and fails if the test says so; gives what tells it something. */
export function stream({ fails }: { fails: boolean }): (name: string, data: unknown) => void {
  const sources: EventTarget[] = [];
  class Source extends EventTarget {
    onerror: (() => void) | null = null;

    constructor() {
      super();
      sources.push(this);
      if (fails) queueMicrotask(() => this.onerror?.());
    }

    close(): void {}
  }
  vi.stubGlobal("EventSource", Source);
  return (name, data) => {
    const frame = new MessageEvent(name, { data: JSON.stringify(data) });
    act(() => void sources.at(-1)?.dispatchEvent(frame));
  };
}

/** Shows something to whoever is signed in as `session`; to anybody where nobody has to. */
export function show(children: ReactNode, session: Session = OPEN): QueryClient {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <SessionContext value={session}>{children}</SessionContext>
    </QueryClientProvider>,
  );
  return client;
}

/** Somebody of `role` who signed in for the tenant `acme`. */
export function signedIn(role: Role): Session {
  return { ...access.session(NOW), role };
}

/** The body of a request. */
export function bodyOf(init?: RequestInit): unknown {
  return init?.body === undefined ? undefined : JSON.parse(String(init.body));
}
