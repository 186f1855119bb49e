import { cleanup, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { App } from "../src/app.tsx";
import { SCREENS, screensFor } from "../src/screens.ts";
import { OPEN, type Session } from "../src/session/session.ts";
import { serve, show, signedIn, stream } from "./kit.tsx";

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
