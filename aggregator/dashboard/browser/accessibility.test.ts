import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { screensFor } from "../src/screens.ts";
import { OPEN } from "../src/session/session.ts";
import { send, system } from "./api.ts";
import { excess, findings, NARROW, WIDE } from "./axe.ts";
import { type Browser, openBrowser } from "./browser.ts";

/** Nobody has to say who they are here. */
const SCREENS = screensFor(OPEN);

let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser(system.aggregatorUrl);
  await send(
    Array.from({ length: 60 }, (_, at) => ({
      eventType: ["page_view", "click", "search"][at % 3],
      userId: `user-${at % 7}`,
      payload: { path: "/a/rather/long/path/that/has/to/fit/somewhere", at },
    })),
  );
});
afterAll(() => browser?.close());

describe.each(["light", "dark"] as const)("in the %s theme", (colorScheme) => {
  it.each(SCREENS)("axe finds nothing serious on $name", async ({ path, name }) => {
    const { page } = browser;
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(WIDE);
    await page.goto(path);
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.waitForLoadState("load");
    expect(await findings(browser.page)).toEqual([]);
  });
});

describe("what is opened", () => {
  it("is as accessible as the rest", async () => {
    const { page } = browser;
    await page.goto("/browse");
    await page
      .getByRole("cell", { name: /path: / })
      .first()
      .click();
    await page.getByRole("complementary", { name: "Event" }).waitFor();
    expect(await findings(browser.page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    expect(await findings(browser.page)).toEqual([]);
  });
});

describe("at 360 pixels", () => {
  it.each(SCREENS)("$name fits", async ({ path, name }) => {
    const { page } = browser;
    await page.setViewportSize(NARROW);
    await page.goto(path);
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.getByText("All stored").first().waitFor();
    expect(await excess(page)).toBe(0);
  });
});

describe("keys", () => {
  it("lead to every screen", async () => {
    const { page } = browser;
    await page.setViewportSize(WIDE);
    await page.goto("/start");
    await page.getByRole("heading", { level: 1, name: "Get started" }).waitFor();
    for (const { key, name } of SCREENS) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.getByRole("heading", { level: 1, name }).waitFor();
    }
  });

  it("change the theme, which stays after a reload", async () => {
    const { page } = browser;
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto("/");
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.keyboard.press("t");
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    await page.evaluate(() => localStorage.clear());
  });
});
