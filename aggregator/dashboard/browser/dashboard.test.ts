import { MongoClient } from "mongodb";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Metrics, Pipeline } from "../src/api/types.ts";
import { uuidv7 } from "../src/lib/uuid.ts";
import { get, send, system, until } from "./api.ts";
import { type Browser, openBrowser } from "./browser.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser(system.aggregatorUrl);
});
afterAll(() => browser?.close());
beforeEach(() => {
  browser.complaints.length = 0;
});
afterEach(() => {
  expect(browser.complaints).toEqual([]);
});

describe("a new user", () => {
  it("is told what to do, and sees the first event without loading anything again", async () => {
    const { page } = browser;
    await page.goto("/");
    await page.getByText("Nothing has arrived yet").waitFor();
    await page.getByRole("link", { name: "Get started" }).first().click();
    await page.getByText("Waiting for your first event").waitFor();
    const curl = page.getByLabel("Example for curl");
    expect(await curl.textContent()).toContain(`${system.ingestUrl}/events`);
    await page.getByText("Connected").waitFor();
    await send([{ eventType: "first", userId: "newcomer" }]);
    await page.getByText("There it is").waitFor();
    expect(await page.getByLabel("Your first event as JSON").textContent()).toContain("newcomer");
    await page.getByRole("link", { name: "To the overview" }).click();
    await page.getByRole("cell", { name: "1", exact: true }).first().waitFor();
    expect(await page.getByText("Nothing has arrived yet").count()).toBe(0);
  });

  it("can send one from the page itself, across ports", async () => {
    const { page } = browser;
    await page.goto("/start");
    await page.getByText("Connected").waitFor();
    await page.getByRole("button", { name: "Send one from here" }).click();
    await page.getByText("There it is").waitFor();
    expect(await page.getByLabel("Your first event as JSON").textContent()).toContain('"hello"');
  });
});

describe("events", () => {
  it("are counted on the overview exactly as often as they were sent", async () => {
    const { page } = browser;
    const count = 137;
    await send(
      Array.from({ length: count }, (_, at) => ({ eventType: "counted", userId: `u-${at % 5}` })),
    );
    await page.goto("/");
    const row = page.getByRole("row", { name: /^counted / });
    await row.getByRole("cell", { name: String(count), exact: true }).waitFor();
    const counted = ({ totals }: Metrics) => totals?.byType.find(({ _id }) => _id === "counted");
    const metrics = await until(
      "a total",
      () => get<Metrics>("/metrics?window=all"),
      (answer) => counted(answer) !== undefined,
    );
    expect(counted(metrics)?.count).toBe(count);
    await page.getByRole("row", { name: /^u-3 / }).waitFor();
  });

  it("are in the table, by filters that live in the URL, page by page and back", async () => {
    const { page } = browser;
    const made = Array.from({ length: 120 }, (_, at) => ({
      eventType: at % 2 === 0 ? "even" : "odd",
      userId: "pager",
      timestamp: 1_790_000_000_000 + at,
      payload: { number: at },
    }));
    await send(made);
    await until(
      "storage",
      () => get<{ items: unknown[] }>("/events?userId=pager&limit=200"),
      ({ items }) => items.length === made.length,
    );
    await page.goto("/browse");
    await page.getByLabel("User").fill("pager");
    await page.keyboard.press("Enter");
    await page.waitForURL(/userId=pager/);
    await page.getByRole("cell", { name: /number: 119/ }).waitFor();
    await page.getByRole("button", { name: "Older" }).click();
    await page.getByRole("cell", { name: /number: 69/ }).waitFor();
    await page.getByRole("button", { name: "Older" }).click();
    await page.getByText("20 events on this page").waitFor();
    expect(await page.getByRole("button", { name: "Older" }).isDisabled()).toBe(true);
    await page.keyboard.press("[");
    await page.getByRole("cell", { name: /number: 69/ }).waitFor();
    await page.goBack();
    await page.getByText("20 events on this page").waitFor();

    await page.goto("/browse?userId=pager");
    await page.getByLabel("Add a type").fill("odd");
    await page.keyboard.press("Enter");
    await page.waitForURL(/type=odd/);
    // What was shown before stays until the answer is there.
    const even = page.getByRole("cell", { name: "even", exact: true });
    await even.first().waitFor({ state: "detached" });
    await page.getByText("50 events on this page").waitFor();
    expect(await even.count()).toBe(0);
    await page.reload();
    await page.getByRole("button", { name: "Do not filter by type odd" }).waitFor();
  });

  it("are opened by keyboard, and found by their id", async () => {
    const { page } = browser;
    await page.goto("/browse?userId=pager");
    await page.getByRole("cell", { name: /number: 119/ }).waitFor();
    for (const key of ["j", "j", "Enter"]) await page.keyboard.press(key);
    const drawer = page.getByRole("complementary", { name: "Event" });
    await drawer.getByText('"number"').waitFor();
    expect(await drawer.textContent()).toContain('"number": 118');
    await drawer.getByRole("link", { name: "Link to this event" }).click();
    await page.getByText("Stored.").waitFor();
    await page
      .getByLabel("Look up an event by its id")
      .fill("018bcfe5-687b-7abc-8def-0123456789ab");
    await page.keyboard.press("Enter");
    await page.getByText("There is no such event.").waitFor();
    // The answer is a 404, which the browser reports; that is what was asked for.
    browser.complaints.length = 0;
  });

  it("show every digit of a number", async () => {
    const { page } = browser;
    // As text: `JSON.stringify` would have rounded it already.
    const payload = '{"reference":9007199254740993}';
    const sent = await fetch(`${system.ingestUrl}/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: `{"eventType":"long","eventId":"${uuidv7()}","userId":"digits","payload":${payload}}`,
    });
    expect(sent.status).toBe(202);
    await until(
      "storage",
      () => get<{ items: unknown[] }>("/events?userId=digits"),
      ({ items }) => items.length === 1,
    );
    await page.goto("/browse?userId=digits");
    await page.getByRole("cell", { name: "reference: 9007199254740993" }).click();
    const drawer = page.getByRole("complementary", { name: "Event" });
    await drawer.getByText("9007199254740993").waitFor();
  });

  it("are exported, one per line", async () => {
    const { page } = browser;
    await page.goto("/browse?userId=pager&type=odd");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export NDJSON" }).click(),
    ]);
    const stream = await download.createReadStream();
    const text = (await stream.toArray()).map(String).join("");
    const lines = text.trimEnd().split("\n");
    expect(lines).toHaveLength(60);
    expect(lines.every((line) => JSON.parse(line).eventType === "odd")).toBe(true);
  });
});

describe("the live stream", () => {
  it("shows what arrives, holds it back while paused, and shows it afterwards", async () => {
    const { page } = browser;
    await page.goto("/live");
    await page.getByText("Connected").waitFor();
    await send([{ eventType: "live", userId: "one" }]);
    await page.getByRole("button", { name: /live one/ }).waitFor();
    await page.locator("h1").click();
    await page.keyboard.press("Space");
    await page.getByRole("button", { name: "Resume", exact: true }).waitFor();
    await send([
      { eventType: "live", userId: "two" },
      { eventType: "live", userId: "three" },
    ]);
    await page.getByText("Paused: 2 new").waitFor();
    expect(await page.getByRole("button", { name: /live two/ }).count()).toBe(0);
    await page.keyboard.press("Space");
    await page.getByRole("button", { name: /live two/ }).waitFor();
    await page.getByRole("button", { name: /live three/ }).waitFor();
    await page.getByRole("button", { name: /live two/ }).click();
    await page.getByRole("complementary", { name: "Event" }).getByText('"two"').waitFor();
  });

  it("is filtered on the server", async () => {
    const { page } = browser;
    await page.goto("/live?type=wanted");
    await page.getByText("Connected").waitFor();
    await send([
      { eventType: "unwanted", userId: "x" },
      { eventType: "wanted", userId: "y" },
    ]);
    await page.getByRole("button", { name: /wanted y/ }).waitFor();
    expect(await page.getByRole("button", { name: /unwanted/ }).count()).toBe(0);
    expect(await page.getByText("1 received").count()).toBe(1);
  });

  it("says why it is refused, and begins anew with another filter", async () => {
    const { page } = browser;
    await page.goto("/live?type=__other__");
    await page.getByText(/^Refused: /).waitFor();
    await page.getByRole("alert").getByRole("button", { name: "Try again" }).waitFor();
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByText("Connected").waitFor();
    // The refusal is reported by the browser.
    browser.complaints.length = 0;
  });

  it("goes on after the aggregator was killed, without a gap or a repetition", async () => {
    const { page } = browser;
    await page.goto("/live?userId=cut");
    await page.getByText("Connected").waitFor();
    await send([{ eventType: "before", userId: "cut" }]);
    await page.getByRole("button", { name: /before cut/ }).waitFor();
    process.kill(system.aggregatorPid, "SIGKILL");
    await page.getByText("Reconnecting").waitFor();
    await send([{ eventType: "meanwhile", userId: "cut" }]);
    await page.getByText("Connected").waitFor();
    await page.getByRole("button", { name: /meanwhile cut/ }).waitFor();
    await send([{ eventType: "after", userId: "cut" }]);
    await page.getByRole("button", { name: /after cut/ }).waitFor();
    await page.getByText("3 received").waitFor();
    // Requests that failed meanwhile are reported.
    browser.complaints.length = 0;
  });

  it("counts what the rate leaves out", async () => {
    const { page } = browser;
    await page.goto("/live?rate=10&userId=many");
    await page.getByText("Connected").waitFor();
    await send(Array.from({ length: 500 }, () => ({ eventType: "many", userId: "many" })));
    await page.getByText(/not shown here/).waitFor();
  });
});

describe("the pipeline", () => {
  it("shows a dead letter, replays it once the cause is mended, and it is stored", async () => {
    const { page } = browser;
    const mongo = await MongoClient.connect(system.mongoUrl);
    // The span of an event that is sent now: it is there, made ahead.
    const span = `events_${new Date().toISOString().slice(0, 10).replaceAll("-", "")}`;
    const refuse = (validator: object) => mongo.db("evp").command({ collMod: span, validator });
    try {
      await refuse({ eventType: { $ne: "cursed" } });
      await send([{ eventType: "cursed", userId: "dead" }]);
      await until(
        "a dead letter",
        () => get<Pipeline>("/admin/pipeline"),
        ({ deadLetters }) => deadLetters?.events === 1,
      );
      await page.goto("/pipeline");
      await page.getByRole("row", { name: /cursed/ }).click();
      const drawer = page.getByRole("complementary", { name: "Dead letter" });
      await drawer.getByText('"cursed"').waitFor();
      await refuse({});
    } finally {
      await mongo.close();
    }
    await page.getByRole("button", { name: "Replay all" }).click();
    await page.getByText("Dry run: 1 dead letters").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Replay 1" }).click();
    await page.getByText("1 replayed, 0 remain.").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await page.getByText("No dead letters").waitFor();
    await page.goto("/browse?type=cursed");
    await page.getByText("1 events on this page").waitFor();
  });

  it("names streams and consumers", async () => {
    const { page } = browser;
    await page.goto("/pipeline");
    await page.getByRole("row", { name: /processor-1 idle/ }).waitFor();
    await page.getByText("All stored").first().waitFor();
  });
});

describe("the demo page", () => {
  it("sends clicks and scrolls across ports and shows them arriving, and never keys", async () => {
    const { page } = browser;
    await page.goto("/demo");
    await page.getByText("Connected").waitFor();
    const ledger = page.getByLabel("What was captured");
    await ledger.getByRole("row", { name: /page_load.*arrived in/ }).waitFor();
    await page.getByRole("button", { name: "11.20 € for Sencha" }).click();
    await ledger.getByRole("row", { name: /click.*Sencha.*arrived in/ }).waitFor();
    await page.getByLabel(/A note for us/).pressSequentially("my secret");
    await page.getByLabel("The page").evaluate((area) => area.scrollTo({ top: 200 }));
    await ledger.getByRole("row", { name: /scroll.*arrived in/ }).waitFor();
    const stored = await until(
      "storage",
      () => get<{ items: { eventType: string }[] }>("/events?from=-5m&type=scroll"),
      ({ items }) => items.length > 0,
    );
    expect(JSON.stringify(stored)).not.toContain("secret");
    const user = await page.getByRole("link", { name: /^visitor-/ }).textContent();
    const all = await get<{ items: unknown[] }>(`/events?userId=${user}`);
    expect(JSON.stringify(all)).not.toContain("secret");
    expect(JSON.stringify(all)).not.toMatch(/key/i);
  });
});
