import { replaceEqualDeep } from "@tanstack/react-query";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, get, withParams } from "../src/api/client.ts";
import type { Pipeline, Series } from "../src/api/types.ts";
import { coloursOf, OTHER_COLOUR, SERIES_COLOURS } from "../src/lib/colours.ts";
import { parseExact } from "../src/lib/exact.ts";
import { isFiltered, linkTo, readFilters, writeFilters } from "../src/lib/filters.ts";
import { ago, bytes, compact, duration, preview, rate, share } from "../src/lib/format.ts";
import { health } from "../src/lib/health.ts";
import { isTyping } from "../src/lib/keys.ts";
import { inWords } from "../src/lib/refusal.ts";
import { snippets } from "../src/lib/snippets.ts";
import { uuidv7 } from "../src/lib/uuid.ts";
import { coarser, rateNow, stack, totals } from "../src/ui/stacked.ts";

describe("a refusal", () => {
  const words = (status: number, code: string, url: string) =>
    inWords(new ApiError(status, { code, title: "send a key whose scope allows this" }, url));

  it("names the role that it takes", () => {
    expect(words(403, "scope_missing", "/admin/pipeline")).toMatch(/^Only an operator/);
    expect(words(403, "scope_missing", "/admin/tenants/a")).toMatch(/^Only an operator/);
    expect(words(403, "scope_missing", "/admin/keys")).toMatch(/^Only an admin of the tenant/);
    expect(words(403, "scope_missing", "/events?limit=5")).toMatch(/role viewer/);
    expect(words(403, "scope_missing", "http://ingest/events")).toMatch(/scope write/);
  });

  it("is told as the aggregator tells it, where there is nothing better to say", () => {
    expect(words(400, "cursor_invalid", "/events")).toBe("Send a key whose scope allows this.");
    expect(words(429, "rate_limited", "http://ingest/events")).not.toMatch(/tries/);
    expect(inWords(new TypeError("x is undefined"))).toBe("Something went wrong on this page.");
  });
});

describe("figures", () => {
  it("are as exact as they are useful", () => {
    expect(compact(9_999)).toBe("9,999");
    expect(compact(336_776).toUpperCase()).toBe("336.8K");
    expect([rate(0), rate(0.5), rate(31.26), rate(412.7)]).toEqual(["0", "0.5", "31.3", "413"]);
    expect([bytes(640), bytes(12_400), bytes(1_073_741_824)]).toEqual([
      "640 B",
      "12.1 KiB",
      "1.0 GiB",
    ]);
    expect([duration(420), duration(3_210), duration(90_000), duration(7_200_000)]).toEqual([
      "420 ms",
      "3.2 s",
      "90 s",
      "2 h",
    ]);
    expect([share(0.0004), share(0.4389)]).toEqual(["<0.1%", "43.9%"]);
  });

  it("do not lie in the future when clocks differ", () => {
    expect(ago(2_000, 1_000)).toBe("now");
    expect(ago(1_000, 6_000)).toBe("5.0 s ago");
  });

  it("show what is in a payload on one line", () => {
    expect(preview({ path: "/", total: 3 }, undefined)).toBe("path: / · total: 3");
    expect(preview({ text: "x".repeat(500) })).toHaveLength(200);
  });
});

describe("a long integer", () => {
  const LONG = "9007199254740993";
  const NEGATIVE = "-18446744073709551615";
  const text = `{"id":${LONG},"list":[${NEGATIVE}],"share":0.16666666666666666,"small":3}`;
  const rest = { share: 1 / 6, small: 3 };

  type Reviver = (name: string, value: unknown, context: { source?: string }) => unknown;

  /** Plays a browser that tells what was written, as Node 20 does not. */
  function tellSources(): void {
    const { parse } = JSON;
    const sources = [LONG, NEGATIVE, "0.16666666666666666", "3"];
    const sourceOf = (value: unknown) => sources.find((source) => Number(source) === value);
    const parseTelling = (json: string, reviver?: Reviver): unknown => {
      if (!reviver) return parse(json);
      return parse(json, (name: string, value: unknown) =>
        reviver(name, value, { source: sourceOf(value) }),
      );
    };
    const rawJSON = (source: string) => ({ digits: source });
    vi.stubGlobal("JSON", Object.assign(Object.create(JSON), { parse: parseTelling, rawJSON }));
  }

  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("keeps all digits, also in an answer that is merged with the one before", () => {
    tellSources();
    const merged = replaceEqualDeep(parseExact(text), parseExact(text));
    const printed = { id: { digits: LONG }, list: [{ digits: NEGATIVE }], ...rest };
    expect(JSON.parse(JSON.stringify(merged))).toEqual(printed);
  });

  it("is rounded where the browser cannot tell", () => {
    vi.stubGlobal("JSON", Object.assign(Object.create(JSON), { rawJSON: undefined }));
    expect(parseExact(text)).toEqual({ id: Number(LONG), list: [Number(NEGATIVE)], ...rest });
  });

  it("is looked for only in a text that may have one", () => {
    tellSources();
    const parse = vi.spyOn(JSON, "parse");
    parseExact('{"at":1795000000000,"share":0.16666666666666666}');
    parseExact(text);
    expect(parse.mock.calls.map((given) => given.length)).toEqual([1, 2]);
  });
});

describe("filters", () => {
  it("come back from the URL as they went there, and take the cursor with them", () => {
    const filters = { types: ["a", "b"], userId: "u&1", from: "-15m" };
    const written = writeFilters(new URLSearchParams("cursor=x&rate=10&type=old"), filters);
    expect(written.get("cursor")).toBeNull();
    expect(written.get("rate")).toBe("10");
    expect(readFilters(new URLSearchParams(written.toString()))).toEqual(filters);
  });

  it("take types in both spellings, each once", () => {
    expect(readFilters(new URLSearchParams("type=a,b&type=b&type=")).types).toEqual(["a", "b"]);
    expect(isFiltered(readFilters(new URLSearchParams("limit=5")))).toBe(false);
  });

  it("make links", () => {
    expect(linkTo("/browse", { userId: "a b" })).toBe("/browse?userId=a+b");
    expect(linkTo("/live", {})).toBe("/live");
  });
});

describe("colours", () => {
  it("stay with a name when others come, and run out in order", () => {
    const types = Array.from({ length: SERIES_COLOURS + 2 }, (_, at) => `type-${at}`);
    const colours = coloursOf(types);
    const own = types.slice(0, SERIES_COLOURS).map((type) => colours.get(type));
    expect(new Set(own).size).toBe(SERIES_COLOURS);
    expect(colours.get("type-9")).toBe(OTHER_COLOUR);
    expect(coloursOf(["type-0"]).get("type-0")).toBe(own[0]);
    expect(coloursOf(["__other__"]).get("__other__")).toBe(OTHER_COLOUR);
  });
});

describe("a series", () => {
  const series: Series = {
    stepSeconds: 2,
    from: 10_000,
    to: 16_000,
    series: [
      {
        type: "small",
        points: [
          [10_000, 2],
          [12_000, 0],
          [14_000, 9],
        ],
        total: 11,
      },
      {
        type: "large",
        points: [
          [10_000, 4],
          [12_000, 8],
          [14_000, 9],
        ],
        total: 21,
      },
      {
        type: "__other__",
        points: [
          [10_000, 2],
          [12_000, 2],
          [14_000, 2],
        ],
        total: 6,
      },
    ],
  };

  it("is stacked by size, per second, without the step that is still being filled", () => {
    const stacked = stack(series, 8);
    expect(stacked.types).toEqual(["large", "small", "__other__"]);
    expect(stacked.times).toEqual([10, 12]);
    expect(stacked.rates[0]).toEqual([2, 4]);
    expect(stacked.tops.at(-1)).toEqual([4, 5]);
  });

  it("adds up the types that are too many", () => {
    const stacked = stack(series, 1);
    expect(stacked.types).toEqual(["large", "__other__"]);
    expect(stacked.rates[1]).toEqual([2, 1]);
  });

  it("is joined to coarser steps on their own boundaries", () => {
    const joined = coarser(series, 2);
    expect(joined).toMatchObject({ stepSeconds: 4, from: 12_000, to: 16_000 });
    expect(joined.series[0]?.points).toEqual([[12_000, 9]]);
    expect(joined.series[1]?.points).toEqual([[12_000, 17]]);
  });

  it("has a total and a rate that leaves out the current second", () => {
    expect(totals(series)).toEqual([8, 10, 20]);
    expect(rateNow([1, 2, 4, 100], 2)).toBe(3);
    expect(rateNow([100], 3)).toBe(0);
  });
});

describe("health", () => {
  const NOW = 1_795_000_000_000;
  const pipeline = (change: Partial<Pipeline["totals"]>, age: number | null): Pipeline => ({
    asOf: NOW,
    storedThrough: NOW,
    totals: { appended: 10, stored: 10, duplicates: 0, deadLettered: 0, backlog: 0, ...change },
    partitions: [
      {
        partition: 0,
        entries: 1,
        lag: 0,
        pending: 0,
        oldestPendingAgeMs: age,
        memoryBytes: null,
        consumers: [{ name: "p", pending: 0, idleMs: 5 }],
      },
    ],
    redis: { version: "7", usedMemoryBytes: 1, maxMemoryBytes: 0 },
    mongodb: { version: "6" },
    deadLetters: null,
    storage: null,
  });

  it("says in words how far storage is behind", () => {
    expect(health(pipeline({}, null), null, NOW)).toMatchObject({
      tone: "good",
      text: "All stored",
    });
    expect(health(pipeline({ backlog: 20 }, 200), null, NOW).text).toBe("Storing 20");
    const late = health(pipeline({ backlog: 20 }, 25_000), null, NOW);
    expect(late).toMatchObject({ tone: "warn", text: "20 waiting, 25 s behind" });
  });

  it("counts as waiting what is not acknowledged, whatever the other totals add up to", () => {
    const twice = pipeline({ appended: 30, duplicates: 4 }, null);
    expect(health(twice, null, NOW).text).toBe("All stored");
    expect(health(pipeline({ backlog: -3 }, null), null, NOW).text).toBe("All stored");
  });

  it("sees that nobody reads by the age of what nobody has read", () => {
    const unread = { ...pipeline({ backlog: 20 }, null), storedThrough: NOW - 60_000 };
    expect(health(unread, null, NOW)).toMatchObject({
      tone: "warn",
      text: "20 waiting, 60 s behind",
    });
    const unknown = { ...pipeline({ backlog: 20 }, 25_000), storedThrough: null };
    expect(health(unknown, null, NOW).text).toBe("20 waiting, 25 s behind");
  });

  it("names what is away", () => {
    const away = new ApiError(503, { code: "counters_unavailable" });
    expect(health(undefined, away, 0)).toMatchObject({ tone: "bad", text: "Redis is away" });
    expect(health(undefined, new ApiError(0, {}), 0).text).toBe("No connection");
    const idle = pipeline({ backlog: 20 }, null);
    for (const partition of idle.partitions) partition.consumers = [];
    expect(health(idle, null, NOW)).toMatchObject({ tone: "bad", text: "No processor" });
    const unstored = { ...pipeline({}, null), mongodb: null };
    expect(health(unstored, null, NOW)).toMatchObject({ tone: "bad", text: "MongoDB is away" });
  });
});

describe("requests", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("leave out what is not given and repeat what there are several of", () => {
    expect(withParams("/e", { type: ["a", "b"], userId: undefined, limit: 5, cursor: null })).toBe(
      "/e?type=a&type=b&limit=5",
    );
  });

  it("fail with the code and text of the problem", async () => {
    const body = { code: "query_timeout", title: "too slow", retryable: true };
    const answer = new Response(JSON.stringify(body), { status: 503 });
    vi.stubGlobal("fetch", () => Promise.resolve(answer));
    const error = await get("/events").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 503, code: "query_timeout", retryable: true });
  });

  it("say who does not answer", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
    await expect(get("http://127.0.0.1:1/x")).rejects.toMatchObject({
      status: 0,
      message: "http://127.0.0.1:1 does not answer",
    });
  });
});

describe("small things", () => {
  it("a UUIDv7 holds its time", () => {
    const id = uuidv7(1_700_000_000_123);
    expect(id).toMatch(/^018bcfe5-687b-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(uuidv7()).not.toBe(uuidv7());
  });

  it("a shortcut leaves typing alone", () => {
    const input = document.createElement("input");
    const button = document.createElement("button");
    expect(isTyping(input, "j")).toBe(true);
    expect(isTyping(input, "Escape")).toBe(false);
    expect(isTyping(button, " ")).toBe(true);
    expect(isTyping(button, "j")).toBe(false);
  });

  it("every snippet sends to the reader's own address", () => {
    const all = snippets("http://127.0.0.1:18080");
    expect(all.map(({ name }) => name)).toEqual(["curl", "Browser", "Node", "Python", "k6"]);
    for (const { code } of all) expect(code).toContain("http://127.0.0.1:18080/events");
  });

  it("every snippet sends with the key, where one is asked for", () => {
    const url = "http://127.0.0.1:18080";
    for (const { code } of snippets(url)) expect(code).not.toMatch(/authorization/i);
    for (const { code } of snippets(url, null)) expect(code).toContain("Bearer YOUR_KEY");
    for (const { code } of snippets(url, "evp_pub_x")) expect(code).toContain("Bearer evp_pub_x");
  });
});
