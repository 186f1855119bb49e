import { useQuery } from "@tanstack/react-query";
import { act, cleanup, fireEvent, screen, waitFor } from "@testing-library/react";
import { useState } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as fixture from "../fixture/access.ts";
import { get, post } from "../src/api/client.ts";
import { metricsQuery } from "../src/api/queries.ts";
import { Account } from "../src/session/account.tsx";
import { Gate } from "../src/session/gate.tsx";
import { OPEN, type Session, useSession } from "../src/session/session.ts";
import { type Answer, bodyOf, NOW, problem, serve, show } from "./kit.tsx";

/** What is shown to those who are let in: whose figures these are, and what is held beside them. */
function Inside() {
  const { tenant } = useSession();
  const [held] = useState(tenant.id);
  const { data } = useQuery({ ...metricsQuery, refetchInterval: false });
  return (
    <>
      <p>
        {tenant.id}: {data ? `${data.totalEventsLastMinute} events` : "no figures"}
      </p>
      <p>held of {held}</p>
      <Account />
    </>
  );
}

const refused = (code: string) => problem(401, { code, title: "it is refused" });

/** An aggregator that lets in whoever signs in; `session` is null while nobody has. */
function aggregator(session: Session | null, changes: Record<string, Answer> = {}) {
  const state = { session };
  const figures: Record<string, number> = { acme: 111, default: 222 };
  const bodies: [path: string, body: unknown][] = [];
  const enter: Answer = (url, init) => {
    bodies.push([url.pathname, bodyOf(init)]);
    state.session = fixture.session(NOW);
    return state.session;
  };
  const asked = serve({
    "/session": (_, init) => {
      if (init?.method === "DELETE") {
        state.session = null;
        return new Response(null, { status: 204 });
      }
      return state.session ?? refused("missing_key");
    },
    "/session/tenant": (_, init) => {
      state.session = fixture.session(NOW, (bodyOf(init) as { tenant: string }).tenant);
      return state.session;
    },
    "/sign-in/key": enter,
    "/sign-in/link": enter,
    "/sign-in/code": () => Response.json({ expiresInSeconds: 300 }, { status: 202 }),
    "/sign-in/code/confirm": enter,
    "/metrics": () =>
      state.session
        ? { totalEventsLastMinute: figures[state.session.tenant.id] ?? 0 }
        : refused("missing_key"),
    ...changes,
  });
  return { state, bodies, asked, counts: (path: string) => count(asked, path) };
}

function count(asked: URL[], path: string): number {
  return asked.filter(({ pathname }) => pathname === path).length;
}

const gate = () =>
  show(
    <Gate>
      <Inside />
    </Gate>,
  );

const signIn = () => screen.findByRole("heading", { name: "Sign in" });

async function signInByKey(key: string): Promise<void> {
  fireEvent.change(await screen.findByLabelText("Key"), { target: { value: key } });
  fireEvent.click(screen.getByRole("button", { name: "Sign in with the key" }));
}

beforeEach(() => {
  window.history.replaceState(null, "", "/");
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("where nobody has to say who they are", () => {
  it("the screens are shown at once, and nothing of signing in", async () => {
    const { counts } = aggregator(OPEN);
    gate();
    expect(await screen.findByText("default: 222 events")).toBeTruthy();
    expect(screen.queryByLabelText("Who is signed in")).toBeNull();
    expect(counts("/sign-in")).toBe(0);
  });
});

describe("somebody who is not signed in", () => {
  it("signs in with a key, which is kept nowhere", async () => {
    const { bodies } = aggregator(null);
    window.history.replaceState(null, "", "/browse?type=click");
    gate();
    await signInByKey(" evp_sec_abc ");
    expect(await screen.findByText("acme: 111 events")).toBeTruthy();
    expect(bodies).toEqual([["/sign-in/key", { key: "evp_sec_abc" }]]);
    expect(window.location.pathname + window.location.search).toBe("/browse?type=click");
    const kept = [JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href];
    expect(kept.join()).not.toContain("evp_sec_abc");
  });

  it("is told in words why a key is none that signs in", async () => {
    for (const [status, code, words] of [
      [401, "unknown_key", /not known here/],
      [401, "key_revoked", /was revoked/],
      [403, "scope_missing", /one of the scope read, admin or operator/],
      [429, "rate_limited", /Too many tries: try again in 2 min/],
    ] as const) {
      const body = { code, retryAfterSeconds: 120 };
      const { counts } = aggregator(null, { "/sign-in/key": () => problem(status, body) });
      gate();
      await signInByKey("evp_sec_abc");
      expect((await screen.findByRole("alert")).textContent).toMatch(words);
      // The refusal of a sign-in says nothing of a session.
      expect(counts("/session")).toBe(1);
      cleanup();
    }
  });

  it("gets a code by mail, and tries it in this browser", async () => {
    const { bodies, state } = aggregator(null, {
      "/sign-in/code/confirm": (_, init) => {
        const { code } = bodyOf(init) as { code: string };
        if (code === "111111") return refused("wrong_code");
        if (code === "222222") return refused("code_expired");
        bodies.push(["confirm", code]);
        state.session = fixture.session(NOW);
        return state.session;
      },
    });
    gate();
    const ask = async () => {
      const field = await screen.findByLabelText("E-mail address");
      fireEvent.change(field, { target: { value: "ada@example.org" } });
      fireEvent.click(screen.getByRole("button", { name: "Send me a code" }));
      await screen.findByText(/If/);
    };
    const enter = (code: string) => {
      fireEvent.change(screen.getByLabelText("Code of six digits"), { target: { value: code } });
      fireEvent.click(screen.getByRole("button", { name: "Sign in with the code" }));
    };
    await ask();
    expect(screen.getByRole("status").textContent).toContain("good for 5 min");
    enter("111111");
    expect((await screen.findByRole("alert")).textContent).toMatch(/not the code/);
    enter("222222");
    expect(await screen.findByLabelText("E-mail address")).toBeTruthy();
    expect(screen.getByRole("alert").textContent).toMatch(/no longer good/);
    await ask();
    enter("333 444");
    expect(await screen.findByText("acme: 111 events")).toBeTruthy();
    expect(bodies).toEqual([["confirm", "333444"]]);
  });

  it("is offered only what the aggregator takes", async () => {
    aggregator(null, { "/sign-in": () => ({ mode: "keys", methods: ["key", "link"] }) });
    gate();
    expect(await screen.findByLabelText("Key")).toBeTruthy();
    expect(screen.queryByLabelText("E-mail address")).toBeNull();
    expect(screen.getByText("evp-aggregator access link")).toBeTruthy();
  });

  it("sees that the aggregator is away, and is let in once it is back", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    let isAway = true;
    aggregator(OPEN, {
      "/session": () =>
        isAway ? problem(503, { code: "store_unavailable", retryable: true }) : OPEN,
    });
    gate();
    expect((await screen.findByRole("alert")).textContent).toContain("Trying again by itself");
    isAway = false;
    await act(() => vi.advanceTimersByTimeAsync(3_000));
    expect(await screen.findByText("default: 222 events")).toBeTruthy();
    vi.useRealTimers();
  });
});

describe("a sign-in link", () => {
  it("is taken out of the address, and lets in", async () => {
    const { bodies } = aggregator(null);
    window.history.replaceState(null, "", "/live?type=click#sign-in=evp_lnk_abc");
    gate();
    expect(window.location.href).not.toContain("evp_lnk_abc");
    expect(await screen.findByText("acme: 111 events")).toBeTruthy();
    expect(bodies).toEqual([["/sign-in/link", { token: "evp_lnk_abc" }]]);
    expect(window.location.pathname + window.location.search).toBe("/live?type=click");
  });

  it("lets in where the page is open already", async () => {
    const { bodies } = aggregator(null);
    gate();
    await signIn();
    window.history.replaceState(null, "", "/#sign-in=evp_lnk_abc");
    window.dispatchEvent(new Event("hashchange"));
    expect(window.location.hash).toBe("");
    expect(await screen.findByText("acme: 111 events")).toBeTruthy();
    expect(bodies).toHaveLength(1);
  });

  it("that is no longer good says so, and another way is offered", async () => {
    aggregator(null, { "/sign-in/link": () => refused("link_ended") });
    window.history.replaceState(null, "", "/#sign-in=evp_lnk_abc");
    gate();
    expect((await screen.findByRole("alert")).textContent).toContain("This link was used");
    expect(await screen.findByLabelText("Key")).toBeTruthy();
  });
});

describe("a session that has ended", () => {
  it("asks to sign in again, and goes on where one was, without old figures", async () => {
    const { state } = aggregator(fixture.session(NOW));
    window.history.replaceState(null, "", "/browse?type=click&cursor=older");
    const client = gate();
    await screen.findByText("acme: 111 events");
    state.session = null;
    await get("/analytics").catch(() => {});
    await get("/metrics").catch(() => {});
    await signIn();
    expect(screen.getByText("Your session has ended.")).toBeTruthy();
    expect(client.getQueryData(metricsQuery.queryKey)).toBeUndefined();
    await signInByKey("evp_sec_abc");
    expect(await screen.findByText("acme: 111 events")).toBeTruthy();
    expect(window.location.search).toBe("?type=click&cursor=older");
  });

  it("is no session that one 401 has ended while the aggregator still knows it", async () => {
    const { counts } = aggregator(fixture.session(NOW), { "/usage": () => refused("missing_key") });
    gate();
    await screen.findByText("acme: 111 events");
    await get("/usage").catch(() => {});
    await waitFor(() => expect(counts("/session")).toBe(2));
    expect(screen.getByText("acme: 111 events")).toBeTruthy();
  });

  it("is not what ingest says of a key", async () => {
    const { counts } = aggregator(fixture.session(NOW), {
      "/events": () => refused("unknown_key"),
    });
    gate();
    await screen.findByText("acme: 111 events");
    await post("http://127.0.0.1:8080/events", {}).catch(() => {});
    expect(counts("/session")).toBe(1);
  });

  it("says why where it is known: it was too long, or its key was revoked", async () => {
    aggregator(null, { "/session": () => refused("session_ended") });
    gate();
    expect(await screen.findByText("Your session has ended.")).toBeTruthy();
    cleanup();
    aggregator(null, { "/session": () => refused("key_revoked") });
    gate();
    expect((await screen.findByRole("alert")).textContent).toMatch(/key was revoked/);
  });

  it("says that the tenant is disabled where that is why", async () => {
    aggregator(null, { "/session": () => problem(403, { code: "tenant_disabled" }) });
    gate();
    expect((await screen.findByRole("alert")).textContent).toMatch(/tenant is disabled/);
  });
});

describe("the account", () => {
  const choose = (tenant: string) =>
    fireEvent.change(screen.getByLabelText("Tenant"), { target: { value: tenant } });

  it("changes the tenant, and shows nothing of the one before", async () => {
    aggregator(fixture.session(NOW));
    window.history.replaceState(null, "", "/browse?userId=secret&cursor=older");
    const client = gate();
    await screen.findByText("acme: 111 events");
    client.setQueryData(["events"], "of acme");
    choose("default");
    expect(await screen.findByText("default: 222 events")).toBeTruthy();
    expect(screen.queryByText(/111/)).toBeNull();
    expect(screen.getByText("held of default")).toBeTruthy();
    expect(client.getQueryData(["events"])).toBeUndefined();
    expect(window.location.pathname + window.location.search).toBe("/browse");
  });

  it("shows no answer that was under way for the tenant before", async () => {
    let answer: (response: Response) => void = () => {};
    const slow = new Promise<Response>((fulfil) => {
      answer = fulfil;
    });
    let isFirst = true;
    aggregator(fixture.session(NOW), {
      "/metrics": () => {
        if (!isFirst) return { totalEventsLastMinute: 222 };
        isFirst = false;
        return slow;
      },
    });
    gate();
    await screen.findByText("acme: no figures");
    choose("default");
    await screen.findByText("default: 222 events");
    await act(async () => answer(Response.json({ totalEventsLastMinute: 111 })));
    expect(screen.getByText("default: 222 events")).toBeTruthy();
  });

  it("says why the tenant cannot be changed to, and stays", async () => {
    aggregator(fixture.session(NOW), {
      "/session/tenant": () => problem(404, { title: "there is no such tenant" }),
    });
    gate();
    await screen.findByText("acme: 111 events");
    choose("default");
    expect(await screen.findByText("There is no such tenant.")).toBeTruthy();
    expect(screen.getByText("acme: 111 events")).toBeTruthy();
  });

  it("follows another tab that changed the tenant", async () => {
    const { state } = aggregator(fixture.session(NOW));
    gate();
    await screen.findByText("acme: 111 events");
    state.session = fixture.session(NOW, "default");
    const other = new BroadcastChannel("evp-session");
    other.postMessage("changed");
    expect(await screen.findByText("default: 222 events")).toBeTruthy();
    other.close();
  });

  it("signs out where another tab already has", async () => {
    const { state } = aggregator(fixture.session(NOW), {
      "/session": (_, init) => {
        if (init?.method === "DELETE") return problem(400, { code: "no_session" });
        return state.session ?? refused("missing_key");
      },
    });
    gate();
    await screen.findByText("acme: 111 events");
    state.session = null;
    fireEvent.click(screen.getByRole("button", { name: "Sign out" }));
    await signIn();
  });

  it("signs out, and says nothing of a session that has ended", async () => {
    const { state } = aggregator(fixture.session(NOW));
    const client = gate();
    await screen.findByText("acme: 111 events");
    fireEvent.click(screen.getByRole("button", { name: "Sign out" }));
    await signIn();
    expect(state.session).toBeNull();
    expect(screen.queryByText("Your session has ended.")).toBeNull();
    expect(client.getQueryData(metricsQuery.queryKey)).toBeUndefined();
  });
});
