import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as fixture from "../fixture/access.ts";
import { isKnown, reasonOf } from "../src/access/reasons.ts";
import { endOf, inOrder, inWords, stateOf } from "../src/access/state.ts";
import Access from "../src/screens/access.tsx";
import Quota from "../src/screens/quota.tsx";
import { type Answer, bodyOf, NOW, problem, serve, show, signedIn } from "./kit.tsx";

/** What was asked for with a body: path and body. */
type Asked = [what: string, body: unknown][];

/** The fixture's answers and these; keeps what is to be changed. */
function served(changes: Record<string, Answer> = {}): Asked {
  const asked: Asked = [];
  const kept = Object.entries(changes).map(([path, answer]): [string, Answer] => [
    path,
    (url, init) => {
      if (init?.method) asked.push([`${init.method} ${path}`, bodyOf(init)]);
      return answer(url, init);
    },
  ]);
  serve(Object.fromEntries(kept));
  return asked;
}

/** Answers a list, and what changes it. */
function either(list: () => unknown, change: () => unknown): Answer {
  return (_, init) => (init?.method ? change() : list());
}

const enter = (label: string, value: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));
const texts = (role: string) => screen.queryAllByRole(role).map(({ textContent }) => textContent);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW });
  window.history.replaceState(null, "", "/access");
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("Usage", () => {
  it("says what is left of the quota, and why events are missing", async () => {
    serve();
    show(<Quota />, signedIn("admin"));
    const tile = await screen.findByRole("region", { name: "Quota left today" });
    expect(tile.textContent).toMatch(/61,204/);
    expect(tile.textContent).toMatch(/938,796 of 1,000,000 events used; renewed in 13 h/);
    const row = screen.getByRole("row", { name: /rate_limited/ });
    expect(row.textContent).toContain("412 requests");
    expect(row.textContent).toContain("ask an operator for a higher limit");
    expect(screen.getByRole("row", { name: /too_old/ }).textContent).toContain("5 events");
    expect(await screen.findByRole("row", { name: /shop, server/ })).toBeTruthy();
    // Neither another tenant's nor one that has ended.
    expect(screen.queryByRole("row", { name: /Ada|old importer/ })).toBeNull();
  });

  it("says that nothing was refused, and asks for no keys that a viewer may not see", async () => {
    const asked = serve({ "/usage": () => ({ ...fixture.usage(NOW), quota: null, refused: [] }) });
    show(<Quota />, signedIn("viewer"));
    expect(await screen.findByText("Nothing was refused")).toBeTruthy();
    expect(screen.getByText("Any number of events in a day")).toBeTruthy();
    expect(asked.map(({ pathname }) => pathname)).toEqual(["/usage"]);
  });

  it("has words for everything that ingest refuses", () => {
    const root = resolve(import.meta.dirname, "../../..");
    const read = (path: string) => readFileSync(resolve(root, path), "utf8");
    const sources = ["ingest/src", "shared/src/event", "shared/src/document"].flatMap((folder) =>
      readdirSync(resolve(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".rs"))
        .map((name) => read(`${folder}/${name}`)),
    );
    const used = [...sources, read("shared/src/event.rs"), read("shared/src/access/map.rs")].join();
    const named = [...used.matchAll(/Reason::([A-Z]\w+)/g)].map(([, name]) => name);
    const codes = new Map(
      [...read("shared/src/outcome.rs").matchAll(/^ +(\w+) "(\w+)" (\d+)/gm)].map(
        ([, name, code, status]) => [name, { code, what: status === "0" ? "event" : "request" }],
      ),
    );
    // Who shows no key that is known is of no tenant, whose usage it could be told in.
    const ofNobody = ["malformed_key", "unknown_key"];
    const told = [...new Set(named)].flatMap((name) => codes.get(name) ?? []);
    const missing = told.filter(({ code = "" }) => !isKnown(code) && !ofNobody.includes(code));
    expect(told.length).toBeGreaterThan(40);
    expect(missing).toEqual([]);
    for (const { code = "", what } of told)
      expect([code, reasonOf(code).what]).toEqual([code, what]);
    expect(reasonOf("made_up").todo).toMatch(/API reference/);
  });
});

describe("Keys", () => {
  it("are those of the tenant, with who may see the operators' as well", async () => {
    serve();
    show(<Access />, signedIn("operator"));
    const row = await screen.findByRole("row", { name: /shop, page/ });
    expect(row.textContent).toContain("write · public · 2 types · 1 origin");
    expect(row.textContent).toContain("ends in 20 h");
    const ended = screen.getByRole("row", { name: /old importer/ });
    expect(within(ended).queryByRole("button")).toBeNull();
    expect(screen.queryByRole("row", { name: /Ada/ })).toBeNull();
    press("Operators'");
    expect(screen.getByRole("row", { name: /Ada/ })).toBeTruthy();
  });

  it("are made with what was entered, shown once, and gone with the dialog", async () => {
    const made = fixture.keyMade(NOW);
    const asked = served({
      "/admin/keys": either(
        () => fixture.keys(NOW),
        () => made,
      ),
    });
    const client = show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /shop, server/ });
    press("Make a key");
    const scopes = [...screen.getByLabelText("What it may do").querySelectorAll("option")];
    expect(scopes.map(({ value }) => value)).toEqual(["write", "read", "admin"]);
    enter("Name", "page");
    fireEvent.click(screen.getByLabelText(/^Public/));
    enter("Origins whose pages may use it", "https://a.example\nhttps://b.example");
    enter("Types of events it may send", "click, view");
    enter("Events a second", "50");
    enter("Ends after, in days", "2");
    press("Make the key");
    expect((await screen.findByLabelText("Its text")).textContent).toBe(made.key);
    const body = {
      name: "page",
      scope: "write",
      tenant: "acme",
      expiresInSeconds: 172_800,
      public: true,
      origins: ["https://a.example", "https://b.example"],
      types: ["click", "view"],
      limits: { events: { perSecond: 50, burst: 500 } },
    };
    expect(asked).toEqual([["POST /admin/keys", body]]);
    press("I have copied it");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const held = client.getMutationCache().getAll();
    await waitFor(() => expect(JSON.stringify(held)).not.toContain(made.key));
    expect(document.body.textContent).not.toContain(made.key);
  });

  it("of another scope are not asked for what only concerns sending", async () => {
    const asked = served({
      "/admin/keys": either(
        () => fixture.keys(NOW),
        () => fixture.keyMade(NOW),
      ),
    });
    show(<Access />, signedIn("operator"));
    await screen.findByRole("row", { name: /shop, server/ });
    press("Make a key");
    enter("Name", "mine");
    enter("What it may do", "operator");
    expect(screen.queryByLabelText(/^Public/)).toBeNull();
    press("Make the key");
    await screen.findByLabelText("Its text");
    expect(asked).toEqual([["POST /admin/keys", { name: "mine", scope: "operator" }]]);
  });

  it("that are refused say at the field what is wrong with it", async () => {
    const detail = '"app": write scheme, host and port, as https://app.example';
    served({
      "/admin/keys": either(
        () => fixture.keys(NOW),
        () => problem(400, { code: "invalid_parameter", detail, parameter: "origins" }),
      ),
    });
    show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /shop, server/ });
    press("Make a key");
    enter("Name", "page");
    enter("Origins whose pages may use it", "app");
    press("Make the key");
    expect((await screen.findByRole("alert")).textContent).toContain(detail);
    const field = screen.getByLabelText("Origins whose pages may use it");
    expect(field.getAttribute("aria-invalid")).toBe("true");
    const described = field.getAttribute("aria-describedby")?.split(" ") ?? [];
    expect(described.map((id) => document.getElementById(id)?.textContent).join()).toContain(
      detail,
    );
    expect(document.activeElement).toBe(field);
    expect((field as HTMLTextAreaElement).value).toBe("app");
  });

  it("whose end or overlap is refused say so at that field", async () => {
    const refused = (parameter: string) => () =>
      problem(400, { code: "invalid_parameter", detail: "lies too far ahead", parameter });
    served({
      "/admin/keys": either(() => fixture.keys(NOW), refused("expiresInSeconds")),
      "/admin/keys/key_Zk3fP0aQ/rotate": refused("overlapSeconds"),
    });
    show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /shop, server/ });
    press("Make a key");
    enter("Name", "page");
    press("Make the key");
    await screen.findByRole("alert");
    expect(screen.getByLabelText("Ends after, in days").getAttribute("aria-invalid")).toBe("true");
    press("Cancel");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    press("Rotate shop, server");
    press("Rotate the key");
    await screen.findByRole("alert");
    expect(screen.getByLabelText("Overlap").getAttribute("aria-invalid")).toBe("true");
  });

  it("that are kept and not in force say that their text is lost", async () => {
    served({
      "/admin/keys": either(
        () => fixture.keys(NOW),
        () => problem(503, { code: "not_in_force", retryable: true }),
      ),
    });
    show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /shop, server/ });
    press("Make a key");
    enter("Name", "page");
    press("Make the key");
    expect(await screen.findByText(/its text is lost/)).toBeTruthy();
  });

  it("are rotated with an overlap", async () => {
    const path = "/admin/keys/key_Zk3fP0aQ/rotate";
    const asked = served({ [path]: () => fixture.keyMade(NOW) });
    show(<Access />, signedIn("admin"));
    fireEvent.click(await screen.findByRole("button", { name: "Rotate shop, server" }));
    enter("Overlap", "3600");
    press("Rotate the key");
    await screen.findByLabelText("Its text");
    expect(asked).toEqual([[`POST ${path}`, { overlapSeconds: 3_600 }]]);
  });

  it("are revoked only once that was confirmed, and listed again", async () => {
    const path = "/admin/keys/key_Zk3fP0aQ/revoke";
    const [first] = fixture.keys(NOW).items;
    let isRevoked = false;
    const asked = served({
      "/admin/keys": () => ({
        items: [{ ...first, revokedAt: isRevoked ? new Date(NOW - 1).toISOString() : null }],
      }),
      [path]: () => {
        isRevoked = true;
        return first;
      },
    });
    show(<Access />, signedIn("admin"));
    fireEvent.click(await screen.findByRole("button", { name: "Revoke shop, server" }));
    press("Cancel");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(asked).toEqual([]);
    press("Revoke shop, server");
    press("Revoke the key");
    expect(await screen.findByText("revoked")).toBeTruthy();
    expect(asked).toEqual([[`POST ${path}`, undefined]]);
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  });
});

describe("the state of a key", () => {
  const [good, ending, ended] = fixture.keys(NOW).items;

  it("is that of what comes first", () => {
    if (!good || !ending || !ended) throw new Error("the fixture has fewer keys");
    expect([good, ending, ended].map((key) => stateOf(key, NOW))).toEqual([
      "good",
      "ending",
      "ended",
    ]);
    const at = (ms: number) => new Date(NOW + ms).toISOString();
    const both = { ...good, expiresAt: at(-1), revokedAt: at(5) };
    expect(endOf(both)).toBe(NOW - 1);
    expect(inWords(both, NOW)).toBe("expired");
    expect(inWords({ ...good, revokedAt: at(-5) }, NOW)).toBe("revoked");
    expect(inOrder([ended, good], NOW).map(({ id }) => id)).toEqual([good.id, ended.id]);
  });
});

describe("Members", () => {
  beforeEach(() => window.history.replaceState(null, "", "/access?view=members"));

  it("are invited to the tenant, with a role that is not above one's own", async () => {
    const asked = served({
      "/admin/members": either(
        () => fixture.members(NOW),
        () => ({}),
      ),
    });
    show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /bob@acme.example/ });
    press("Invite somebody");
    const roles = [...screen.getByLabelText("Role").querySelectorAll("option")];
    expect(roles.map(({ value }) => value)).toEqual(["viewer", "admin"]);
    enter("E-mail address", "eve@acme.example");
    enter("Role", "admin");
    press("Invite");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const body = { email: "eve@acme.example", role: "admin", tenant: "acme" };
    expect(asked).toEqual([["PUT /admin/members", body]]);
  });

  it("are invited as operators of no tenant", async () => {
    const asked = served({
      "/admin/members": either(
        () => fixture.members(NOW),
        () => ({}),
      ),
    });
    show(<Access />, signedIn("operator"));
    await screen.findByRole("row", { name: /bob@acme.example/ });
    press("Invite somebody");
    enter("E-mail address", "eve@example.org");
    enter("Role", "operator");
    press("Invite");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(asked).toEqual([["PUT /admin/members", { email: "eve@example.org", role: "operator" }]]);
  });

  it("are removed once that was confirmed", async () => {
    const asked = served({
      "/admin/members": either(
        () => fixture.members(NOW),
        () => new Response(null, { status: 204 }),
      ),
    });
    show(<Access />, signedIn("admin"));
    fireEvent.click(await screen.findByRole("button", { name: "Remove bob@acme.example" }));
    press("Remove the member");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const body = { email: "bob@acme.example", tenant: "acme" };
    expect(asked).toEqual([["DELETE /admin/members", body]]);
  });

  it("are told of the link where no mail is sent", async () => {
    served({ "/sign-in": () => ({ mode: "keys", methods: ["key", "link"] }) });
    show(<Access />, signedIn("admin"));
    expect(await screen.findByText(/nobody gets a code/)).toBeTruthy();
  });
});

describe("Audit", () => {
  it("is read page by page, by the URL", async () => {
    window.history.replaceState(null, "", "/access?view=audit");
    const asked = serve({
      "/admin/audit": () => ({ ...fixture.audit(NOW), nextCursor: "65f0c0de0000000000000001" }),
    });
    show(<Access />, signedIn("admin"));
    const row = await screen.findByRole("row", { name: /keys.revoke/ });
    expect(row.textContent).toContain("ada@example.org");
    expect(row.textContent).toContain("id: key_0aXc77Lm");
    expect(screen.getByRole("row", { name: /tenants.add/ }).textContent).toContain("started");
    await waitFor(() =>
      expect(screen.getByRole("button", { name: "Older" }).hasAttribute("disabled")).toBe(false),
    );
    press("Older");
    await waitFor(() =>
      expect(asked.at(-1)?.search).toBe("?limit=50&cursor=65f0c0de0000000000000001"),
    );
    press("Newest");
    await waitFor(() => expect(window.location.search).toBe("?view=audit"));
  });
});

describe("Tenants", () => {
  beforeEach(() => window.history.replaceState(null, "", "/access?view=tenants"));

  it("are for operators only: an admin is shown keys", async () => {
    const asked = serve();
    show(<Access />, signedIn("admin"));
    await screen.findByRole("row", { name: /shop, server/ });
    expect(texts("button")).not.toContain("Tenants");
    expect(asked.map(({ pathname }) => pathname)).not.toContain("/admin/tenants");
  });

  it("are made, and may be changed to at once", async () => {
    const asked = served({
      "/admin/tenants": either(
        () => fixture.tenants(),
        () => ({}),
      ),
    });
    show(<Access />, signedIn("operator"));
    await screen.findByRole("row", { name: /Gone Ltd/ });
    press("Make a tenant");
    enter("Id", "globex");
    press("Make the tenant");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(asked).toEqual([["POST /admin/tenants", { id: "globex" }]]);
  });

  it("are limited with what there was filled in, and without a quota where it is taken out", async () => {
    const asked = served({ "/admin/tenants/acme": () => ({}) });
    show(<Access />, signedIn("operator"));
    fireEvent.click(await screen.findByRole("button", { name: "Limit Acme" }));
    const field = screen.getByLabelText(/^Events in a UTC day/) as HTMLInputElement;
    expect(field.value).toBe("1000000");
    enter("Events in a UTC day, over all instances", "");
    enter("Bytes a second", "1048576");
    enter("Types counted by name", "300");
    fireEvent.click(screen.getByLabelText(/^Count unique and top users/));
    press("Set the limits");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const limits = {
      events: { perSecond: 5_000, burst: 50_000 },
      bytes: { perSecond: 1_048_576, burst: 10_485_760 },
    };
    const body = { eventsPerDay: 0, limits, types: 300, analytics: true };
    expect(asked).toEqual([["PATCH /admin/tenants/acme", body]]);
  });

  it("say at the limits what is wrong with them", async () => {
    const detail = "a rate is 1 a second at least";
    served({
      "/admin/tenants/acme": () =>
        problem(400, { code: "invalid_parameter", detail, parameter: "limits" }),
    });
    show(<Access />, signedIn("operator"));
    fireEvent.click(await screen.findByRole("button", { name: "Limit Acme" }));
    press("Set the limits");
    const group = screen.getByRole("group", { name: /^Limits/ });
    expect((await within(group).findByRole("alert")).textContent).toBe(
      "A rate is 1 a second at least.",
    );
  });

  it("are disabled once that was confirmed, and enabled again", async () => {
    const asked = served({ "/admin/tenants/acme": () => ({}), "/admin/tenants/gone": () => ({}) });
    show(<Access />, signedIn("operator"));
    fireEvent.click(await screen.findByRole("button", { name: "Disable Acme" }));
    press("Disable the tenant");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    press("Enable Gone Ltd");
    press("Enable the tenant");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(asked).toEqual([
      ["PATCH /admin/tenants/acme", { state: "disabled" }],
      ["PATCH /admin/tenants/gone", { state: "active" }],
    ]);
  });
});
