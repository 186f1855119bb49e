import { cleanup, fireEvent, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as fixture from "../fixture/access.ts";
import { info } from "../fixture/answers.ts";
import { App } from "../src/app.tsx";
import { SCREENS, screensFor } from "../src/screens.ts";
import { OPEN, type Session } from "../src/session/session.ts";
import { bodyOf, NOW, problem, serve, show, signedIn, stream } from "./kit.tsx";

const at = (path: string) => window.history.replaceState(null, "", path);

beforeEach(() => {
  at("/");
  stream({ fails: false });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("a role", () => {
  const names = (session: Session) => screensFor(session).map(({ name }) => name);

  it("sees the screens that are of use to it", () => {
    const everybodys = ["Overview", "Live", "Events", "Usage", "Get started", "Demo"];
    expect(names(signedIn("viewer"))).toEqual(everybodys);
    const all = SCREENS.map(({ name }) => name);
    expect(names(signedIn("admin"))).toEqual(all);
    expect(names(signedIn("operator"))).toEqual(all);
  });

  it("that nobody has to have sees nothing about keys", () => {
    expect(names(OPEN)).toEqual(["Overview", "Live", "Events", "Pipeline", "Get started", "Demo"]);
  });

  it("of a viewer asks for nothing that only others may see", async () => {
    at("/quota");
    const asked = serve();
    show(<App />, signedIn("viewer"));
    expect(await screen.findByText("Why events are missing")).toBeTruthy();
    expect(screen.queryByRole("link", { name: "Pipeline" })).toBeNull();
    const paths = asked.map(({ pathname }) => pathname);
    expect(paths.filter((path) => path.startsWith("/admin"))).toEqual([]);
  });

  it("of a viewer has no screen at the address of one for others", async () => {
    at("/access");
    serve();
    show(<App />, signedIn("viewer"));
    expect(await screen.findByText("There is nothing here for you")).toBeTruthy();
  });

  it("of an admin sees the tenant's dead letters, and not what all tenants share", async () => {
    at("/pipeline");
    const asked = serve();
    show(<App />, signedIn("admin"));
    expect(await screen.findAllByText("Document failed validation")).toHaveLength(3);
    expect(screen.getByText(/shown to operators only/)).toBeTruthy();
    expect(asked.map(({ pathname }) => pathname)).not.toContain("/admin/pipeline");
  });

  it("of an operator sees the pipeline, on every screen", async () => {
    at("/quota");
    serve();
    show(<App />, signedIn("operator"));
    expect(await screen.findByRole("link", { name: "All stored" })).toBeTruthy();
  });
});

describe("sending with a key", () => {
  const made = { ...fixture.keyMade(NOW), key: "evp_pub_made" };

  /** What ingest was sent, with which key. */
  function served() {
    const bodies: unknown[] = [];
    const sent: (string | null)[] = [];
    serve({
      "/admin/info": () => info("127.0.0.1:8080"),
      "/admin/keys": (_, init) => {
        bodies.push(bodyOf(init));
        return made;
      },
      "/events": (_, init) => {
        sent.push(new Headers(init?.headers).get("authorization"));
        return { accepted: 1, duplicates: 0, rejectedCount: 0, rejected: [] };
      },
    });
    return { bodies, sent };
  }

  it("begins with making one, for pages of this origin, on one screen", async () => {
    at("/start");
    const { bodies, sent } = served();
    show(<App />, signedIn("admin"));
    const send = await screen.findByRole("button", { name: "Send one from here" });
    expect(send.hasAttribute("disabled")).toBe(true);
    fireEvent.click(screen.getByRole("button", { name: "Make one" }));
    await waitFor(() => expect(send.hasAttribute("disabled")).toBe(false), { timeout: 5_000 });
    expect(bodies).toEqual([
      {
        name: "Get started",
        scope: "write",
        tenant: "acme",
        public: true,
        origins: [window.location.origin],
      },
    ]);
    expect(screen.getByLabelText("Example for curl").textContent).toContain("Bearer evp_pub_made");
    fireEvent.click(send);
    await waitFor(() => expect(sent).toEqual(["Bearer evp_pub_made"]));
    expect(JSON.stringify([localStorage, sessionStorage])).not.toContain("evp_pub_made");
  });

  it("tries again while ingest does not know the new key yet", async () => {
    at("/start");
    let asked = 0;
    serve({
      "/admin/info": () => info("127.0.0.1:8080"),
      "/events": () => {
        asked += 1;
        if (asked === 1) return problem(401, { code: "unknown_key" });
        return { accepted: 1, duplicates: 0, rejectedCount: 0, rejected: [] };
      },
    });
    show(<App />, signedIn("viewer"));
    fireEvent.change(await screen.findByLabelText("A key to send with"), {
      target: { value: "evp_sec_mine" },
    });
    fireEvent.click(screen.getByRole("button", { name: "Use this key" }));
    fireEvent.click(screen.getByRole("button", { name: "Send one from here" }));
    await waitFor(() => expect(asked).toBe(2), { timeout: 5_000 });
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("takes one that somebody has, for the demo as well", async () => {
    at("/start");
    served();
    show(<App />, signedIn("viewer"));
    const field = await screen.findByLabelText("A key to send with");
    expect(screen.queryByRole("button", { name: "Make one" })).toBeNull();
    fireEvent.change(field, { target: { value: "evp_sec_mine" } });
    fireEvent.click(screen.getByRole("button", { name: "Use this key" }));
    expect(screen.getByLabelText("Example for curl").textContent).toContain("evp_sec_mine");
    fireEvent.click(screen.getByRole("link", { name: "Demo" }));
    expect(await screen.findByText("The tea shop")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Use another one" }));
    expect(screen.queryByText("The tea shop")).toBeNull();
  });

  it("is not asked for where nobody has to say who they are", async () => {
    at("/start");
    const { sent } = served();
    show(<App />);
    fireEvent.click(await screen.findByRole("button", { name: "Send one from here" }));
    await waitFor(() => expect(sent).toEqual([null]));
    expect(screen.queryByLabelText("A key to send with")).toBeNull();
    expect(screen.getByLabelText("Example for curl").textContent).not.toContain("Bearer");
  });
});
