import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { screensFor } from "../src/screens.ts";
import { OPEN } from "../src/session/session.ts";
import { until } from "./api.ts";
import { excess, findings, NARROW, WIDE } from "./axe.ts";
import { type Browser, openBrowser } from "./browser.ts";
import { access, type System, startSystem } from "./system.ts";

// A system of its own, which asks who somebody is: two tenants, and keys of both.

const SCREENS = screensFor({ ...OPEN, via: "key" });

let system: System;
let stop: () => Promise<void>;
let browser: Browser;
let keys: Record<"operator" | "admin" | "viewer" | "acme" | "globex", string>;

function make(name: string, scope: string, tenant?: string): string {
  const of = tenant ? ["--tenant", tenant] : [];
  const printed = access(system, "key", "create", name, "--scope", scope, ...of);
  const [key] = /evp_\w+/.exec(printed) ?? [];
  if (!key) throw new Error(`no key was printed: ${printed}`);
  return key;
}

beforeAll(async () => {
  ({ system, stop } = await startSystem("keys"));
  access(system, "tenant", "add", "acme", "--name", "Acme");
  access(system, "tenant", "add", "globex", "--name", "Globex");
  keys = {
    operator: make("Ada", "operator"),
    admin: make("Bob", "admin", "acme"),
    viewer: make("Eve", "read", "acme"),
    acme: make("the shop", "write", "acme"),
    globex: make("the plant", "write", "globex"),
  };
  await send(keys.acme, "order_paid", 3);
  await send(keys.globex, "valve_opened", 5);
});
afterAll(() => stop?.());
beforeEach(async () => {
  browser = await openBrowser(system.aggregatorUrl);
});
afterEach(() => browser.close());

const isOk = (status: number) => status === 200 || status === 202;

/** Sends events as soon as the key is in force. */
async function send(key: string, eventType: string, events: number): Promise<void> {
  const made = Array.from({ length: events }, () => ({ eventType }));
  await until("sending", () => post(key, made), isOk);
}

/** What ingest answers. */
async function post(key: string, events: unknown): Promise<number> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const init = { method: "POST", headers, body: JSON.stringify(events) };
  return (await fetch(`${system.ingestUrl}/events`, init)).status;
}

async function signInByKey(key: string, path = "/"): Promise<void> {
  const { page } = browser;
  const headers = { authorization: `Bearer ${key}` };
  const session = `${system.aggregatorUrl}/session`;
  await until("a key in force", async () => (await fetch(session, { headers })).status, isOk);
  await page.goto(path);
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
  await page.getByLabel("Who is signed in").waitFor();
}

describe("signing in", () => {
  it("with a key shows the screen that was asked for, and keeps the key nowhere", async () => {
    const { page, context } = browser;
    await signInByKey(keys.viewer, "/browse?type=order_paid");
    await page.getByText("3 events on this page").waitFor();
    expect(new URL(page.url()).search).toBe("?type=order_paid");
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
    );
    expect(kept).not.toContain(keys.viewer);
    expect(await page.evaluate(() => document.cookie)).toBe("");
    const cookies = await context.cookies();
    expect(cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite])).toEqual([
      [true, "Strict"],
    ]);
    await page.reload();
    await page.getByText("3 events on this page").waitFor();
  });

  it("with a link takes its token out of the address, once", async () => {
    const { page } = browser;
    const printed = access(system, "link", "--tenant", "acme", "--role", "viewer");
    const [link = ""] = /http\S+#sign-in=\S+/.exec(printed) ?? [];
    await page.goto(link);
    await page.getByLabel("Who is signed in").getByText("viewer").waitFor();
    expect(page.url()).not.toContain("sign-in");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto(link);
    await page.getByText("This link was used").waitFor();
    expect(page.url()).not.toContain("sign-in");
  });

  it("with a key that only sends says what it takes", async () => {
    const { page } = browser;
    await page.goto("/");
    await page.getByLabel("Key", { exact: true }).fill(keys.acme);
    await page.keyboard.press("Enter");
    await page
      .getByRole("alert")
      .getByText(/scope read, admin or operator/)
      .waitFor();
  });

  it("is asked for again when the key was revoked, and goes on where one was", async () => {
    const { page } = browser;
    const key = make("short", "read", "acme");
    await signInByKey(key, "/live?type=order_paid");
    await page.getByText("Connected").waitFor();
    const listed = access(system, "key", "list");
    const [id = ""] = /key_\w+(?=.*short)/.exec(listed) ?? [];
    access(system, "key", "revoke", id);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("Key", { exact: true }).fill(keys.viewer);
    await page.keyboard.press("Enter");
    await page.getByText("Connected").waitFor();
    expect(new URL(page.url()).search).toBe("?type=order_paid");
  });
});

describe("a tenant", () => {
  it("is changed to by an operator, whose screens then show nothing of the one before", async () => {
    const { page } = browser;
    await signInByKey(keys.operator, "/browse");
    const choose = (tenant: string) => page.getByLabel("Tenant").selectOption(tenant);
    await choose("acme");
    await page.getByText("3 events on this page").waitFor();
    await choose("globex");
    await page.getByText("5 events on this page").waitFor();
    expect(await page.getByText("order_paid").count()).toBe(0);
    await page.goto("/");
    await page.getByRole("row", { name: /^valve_opened / }).waitFor();
    expect(await page.getByText("order_paid").count()).toBe(0);
  });

  it("is all that a viewer sees, without what only others may do", async () => {
    const { page } = browser;
    await signInByKey(keys.viewer);
    await page.getByRole("row", { name: /^order_paid / }).waitFor();
    expect(await page.getByRole("link", { name: "Access" }).count()).toBe(0);
    await page.goto("/access");
    await page.getByText("There is nothing here for you").waitFor();
    await page.goto("/quota");
    await page.getByText("Nothing was refused").waitFor();
    expect(browser.complaints.filter((text) => text.includes("403"))).toEqual([]);
  });
});

describe("an admin", () => {
  it("makes a key, sends with it, revokes it, and sees what became of it", async () => {
    const { page } = browser;
    await signInByKey(keys.admin, "/start");
    await page.getByText("Connected").waitFor();
    await page.getByRole("button", { name: "Make one" }).click();
    await page.getByRole("button", { name: "Send one from here" }).click();
    await page.getByText("There it is").waitFor();
    const curl = await page.getByLabel("Example for curl").textContent();
    const [key = ""] = /evp_pub_\w+/.exec(curl ?? "") ?? [];

    await page.getByRole("link", { name: "Access" }).click();
    await page.getByRole("button", { name: "Revoke Get started" }).click();
    await page.getByRole("button", { name: "Revoke the key" }).click();
    await page.getByRole("row", { name: /Get started.*revoked/ }).waitFor();
    const refused = () => post(key, { eventType: "late" });
    await until("a refusal", refused, (status) => status === 401);

    await page.getByRole("link", { name: "Usage" }).click();
    const row = page.getByRole("row", { name: /key_revoked/ });
    await row.getByText("Find what still sends with the old key").waitFor();
    await page.getByRole("link", { name: "Access" }).click();
    await page.getByRole("button", { name: "Audit" }).click();
    await page
      .getByRole("cell", { name: /revoke/ })
      .first()
      .waitFor();
  });

  it("is shown a new key once, and told at the field what is wrong", async () => {
    const { page } = browser;
    await signInByKey(keys.admin, "/access");
    await page.getByRole("button", { name: "Make a key" }).click();
    await page.getByLabel("Name").fill("page");
    await page.getByLabel("Origins whose pages may use it").fill("app.example");
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText(/write scheme, host and port/).waitFor();
    await page.getByLabel("Origins whose pages may use it").fill("https://app.example");
    await page.keyboard.press("Tab");
    await page.getByRole("button", { name: "Make the key" }).click();
    const key = (await page.getByLabel("Its text").textContent()) ?? "";
    expect(key).toMatch(/^evp_sec_\w{49}$/);
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByLabel("Its text").waitFor({ state: "detached" });
    await page.getByRole("row", { name: /page.*1 origin/ }).waitFor();
    expect(await page.content()).not.toContain(key);
  });
});

describe("an operator", () => {
  it("makes a tenant, limits it and changes to it", async () => {
    const { page } = browser;
    await signInByKey(keys.operator, "/access?view=tenants");
    await page.getByRole("button", { name: "Make a tenant" }).click();
    await page.getByLabel("Id", { exact: true }).fill("initech");
    await page.getByRole("button", { name: "Make the tenant" }).click();
    await page.getByRole("button", { name: "Limit initech" }).click();
    await page.getByLabel(/^Events in a UTC day/).fill("1000");
    await page.getByRole("button", { name: "Set the limits" }).click();
    await page.getByRole("row", { name: /initech.*1,000/ }).waitFor();
    await page.getByLabel("Tenant", { exact: true }).selectOption("initech");
    await page.goto("/quota");
    await page
      .getByRole("region", { name: "Quota left today" })
      .getByText("1,000")
      .first()
      .waitFor();
  });
});

describe.each(["light", "dark"] as const)("in the %s theme", (colorScheme) => {
  it("axe finds nothing serious, wide and narrow", async () => {
    const { page } = browser;
    await page.emulateMedia({ colorScheme });
    const look = async (what: string) => {
      for (const size of [WIDE, NARROW]) {
        await page.setViewportSize(size);
        expect([what, size.width, await findings(page), await excess(page)]).toEqual([
          what,
          size.width,
          [],
          0,
        ]);
      }
    };
    await page.goto("/");
    await page.getByLabel("Key", { exact: true }).waitFor();
    await look("signing in");
    await signInByKey(keys.operator);
    for (const { path, name } of SCREENS) {
      await page.goto(path);
      await page.getByRole("heading", { level: 1, name }).waitFor();
      await page.waitForLoadState("load");
      await look(name);
    }
    for (const view of ["members", "audit", "tenants"]) {
      await page.goto(`/access?view=${view}`);
      await page.getByRole("table").or(page.getByText("Nobody was invited yet")).first().waitFor();
      await look(view);
    }
  });
});
