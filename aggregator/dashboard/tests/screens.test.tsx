import { cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as fixture from "../fixture/answers.ts";
import { eventAt } from "../fixture/events.ts";
import { type DeadLetter, OTHER_TYPES } from "../src/api/types.ts";
import Browse from "../src/screens/browse.tsx";
import Live from "../src/screens/live.tsx";
import Overview from "../src/screens/overview.tsx";
import PipelineScreen from "../src/screens/pipeline.tsx";
import Start from "../src/screens/start.tsx";
import { ActionDialog } from "../src/ui/action-dialog.tsx";
import { FeedStatus } from "../src/ui/feed-status.tsx";
import { FilterBar } from "../src/ui/filter-bar.tsx";
import { Json } from "../src/ui/json.tsx";
import { Letter } from "../src/ui/letter.tsx";
import TimeChart from "../src/ui/time-chart.tsx";
import { TypeRanking } from "../src/ui/type-ranking.tsx";
import { drawn } from "./canvas.ts";
import { NOW, problem, serve, show, stream } from "./kit.tsx";

beforeEach(() => {
  window.history.replaceState(null, "", "/");
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("Overview", () => {
  it("shows rates, totals, types and users", async () => {
    serve();
    show(<Overview />);
    expect(await screen.findByText("2,460")).toBeTruthy();
    expect(await screen.findByText("user-3")).toBeTruthy();
    expect(screen.getByText(/^4[0-9]\.[0-9]%$/)).toBeTruthy();
    expect(screen.getByRole("link", { name: /page_view/ }).getAttribute("href")).toBe(
      "/browse?type=page_view",
    );
  });

  it("asks for another range and keeps it in the URL", async () => {
    const asked = serve();
    show(<Overview />);
    fireEvent.click(screen.getByRole("button", { name: "24h" }));
    await waitFor(() => expect(window.location.search).toBe("?range=24h"));
    await waitFor(() =>
      expect(asked.some((url) => url.href.endsWith("/analytics?range=24h"))).toBe(true),
    );
  });

  it("tells a newcomer what to do", async () => {
    const totals = {
      events: 0,
      byType: [],
      duplicates: 0,
      deadLettered: 0,
      appended: 0,
      backlog: 0,
    };
    serve({ "/metrics": () => ({ ...fixture.metrics(NOW, false), totals }) });
    show(<Overview />);
    expect(await screen.findByText("Nothing has arrived yet")).toBeTruthy();
  });

  it("says why users are not counted", async () => {
    const unknown = { topUsers: null, uniqueUsers: null, uniqueSessions: null };
    serve({
      "/analytics": () => ({
        ...fixture.analytics(NOW, "15m"),
        ...unknown,
        missingReason: "not_enabled",
      }),
    });
    show(<Overview />);
    expect(await screen.findByText(/An operator can have/)).toBeTruthy();
  });

  it("draws each type", async () => {
    const data = {
      types: ["a", "b"],
      times: [1, 2],
      rates: [
        [1, 2],
        [3, 4],
      ],
      tops: [
        [1, 2],
        [4, 6],
      ],
    };
    drawn.length = 0;
    show(<TimeChart data={data} colourOf={() => "#123456"} label="Events" />);
    // A series is drawn within a clip of its own.
    await waitFor(() => expect(drawn.filter((name) => name === "clip")).toHaveLength(2));
  });

  it("says what is away", async () => {
    const answer = () => problem(503, { code: "counters_unavailable", title: "Redis is away" });
    serve({ "/metrics": answer, "/metrics/series": answer, "/analytics": answer });
    show(<Overview />);
    expect((await screen.findByRole("alert")).textContent).toContain("Redis is away.");
  });

  it("says that only the chart is away", async () => {
    serve({
      "/metrics/series": (url) =>
        url.searchParams.get("window") === "60s"
          ? fixture.series(NOW, url.searchParams)
          : problem(503, { title: "Redis is slow" }),
    });
    show(<Overview />);
    expect((await screen.findByRole("alert")).textContent).toContain("Redis is slow.");
  });
});

it("the ranking leads to no list of the types that are counted together", () => {
  const answer = fixture.series(NOW, new URLSearchParams("range=15m"));
  const others = answer.series.slice(0, 1).map((row) => ({ ...row, type: OTHER_TYPES }));
  show(<TypeRanking series={{ ...answer, series: [...answer.series, ...others] }} range="15m" />);
  const row = within(screen.getByRole("row", { name: /other types/ }));
  expect(row.queryByRole("link")).toBeNull();
  expect(screen.getAllByRole("link").length).toBeGreaterThan(0);
});

describe("Events", () => {
  it("pages to older events and back, by the URL", async () => {
    const asked = serve();
    show(<Browse />);
    await screen.findAllByRole("row");
    fireEvent.keyDown(window, { key: "]" });
    await waitFor(() => expect(window.location.search).toBe("?cursor=older"));
    await waitFor(() =>
      expect(asked.some((url) => url.searchParams.get("cursor") === "older")).toBe(true),
    );
    fireEvent.click(screen.getByRole("button", { name: "Newer" }));
    await waitFor(() => expect(window.location.search).toBe(""));
  });

  it("goes to what is newer by the cursor that leads there", async () => {
    window.history.replaceState(null, "", "/browse?cursor=third");
    serve({ "/events": () => ({ items: [eventAt(NOW)], nextCursor: null, prevCursor: "second" }) });
    show(<Browse />);
    await screen.findAllByRole("row");
    fireEvent.keyDown(window, { key: "[" });
    await waitFor(() => expect(window.location.search).toBe("?cursor=second"));
  });

  it("opens the row that j and Enter choose, and Escape closes it", async () => {
    serve();
    show(<Browse />);
    await screen.findAllByRole("row");
    for (const key of ["j", "j", "Enter"]) fireEvent.keyDown(window, { key });
    const drawer = await screen.findByRole("complementary", { name: "Event" });
    expect(drawer.textContent).toContain(eventAt(NOW - 700).id);
    fireEvent.keyDown(window, { key: "Escape" });
    await waitFor(() => expect(screen.queryByRole("complementary")).toBeNull());
  });

  it("tells of an event that is not there yet until when all is stored", async () => {
    window.history.replaceState(null, "", "/browse?id=gone");
    const body = { code: "event_not_found", storedThrough: "2026-01-31T07:59:58.500Z" };
    serve({ "/events/gone": () => problem(404, body) });
    show(<Browse />);
    expect((await screen.findByText(/There is no such event/)).parentElement?.textContent).toMatch(
      /Everything accepted before .*58\.500 is stored/,
    );
  });

  it("says that a search without an index is not over", async () => {
    serve({ "/events": () => ({ items: [], nextCursor: "further", prevCursor: null }) });
    show(<Browse />);
    fireEvent.click(await screen.findByRole("button", { name: "Go on" }));
    await waitFor(() => expect(window.location.search).toBe("?cursor=further"));
  });

  it("says of an export that failed nothing under other filters", async () => {
    serve({
      "/events": (_, init) =>
        new Headers(init?.headers).has("accept")
          ? problem(503, { title: "busy" })
          : { items: [eventAt(NOW)], nextCursor: null, prevCursor: null },
    });
    show(<Browse />);
    fireEvent.click(await screen.findByText("Export NDJSON"));
    expect(await screen.findByText("Export failed: try again")).toBeTruthy();
    const field = screen.getByLabelText("Add a type");
    fireEvent.input(field, { target: { value: "click" } });
    fireEvent.keyDown(field, { key: "Enter" });
    expect(await screen.findByText("Export NDJSON")).toBeTruthy();
  });
});

describe("Pipeline", () => {
  it("shows streams and dead letters, and works while MongoDB is away", async () => {
    serve({
      "/admin/pipeline": () => ({
        ...fixture.pipeline(NOW),
        mongodb: null,
        deadLetters: null,
        storage: null,
      }),
    });
    show(<PipelineScreen />);
    expect(await screen.findByText(/MongoDB does not answer/)).toBeTruthy();
    expect(screen.getByText("MongoDB is away.")).toBeTruthy();
    expect(await screen.findAllByText("Document failed validation")).toHaveLength(3);
  });

  it("shows the newest spans with their state and what goes next", async () => {
    serve({});
    show(<PipelineScreen />);
    expect(await screen.findByText("sealed when it is quiet")).toBeTruthy();
    expect(screen.getByText(/The newest 3 of 33; events before .* are refused; 41 %/)).toBeTruthy();
    expect(screen.getAllByText(/^events_\d{8}$/)).toHaveLength(3);
  });

  it("names the hour that the floor is cut at, unless it is midnight", async () => {
    for (const [floor, words] of [
      [Date.UTC(2026, 2, 4), "events before 2026-03-04 are refused"],
      [Date.UTC(2026, 2, 4, 15), "events before 2026-03-04 15:00 are refused"],
    ] as const) {
      const state = fixture.pipeline(NOW);
      const storage = state.storage && { ...state.storage, floor };
      serve({ "/admin/pipeline": () => ({ ...state, storage }) });
      show(<PipelineScreen />);
      expect(await screen.findByText(new RegExp(words))).toBeTruthy();
      cleanup();
    }
  });

  it("forgets what was chosen and opened under another filter", async () => {
    const letters = fixture.deadLetters(NOW);
    serve({ "/admin/dead-letters": () => letters });
    show(<PipelineScreen />);
    fireEvent.click((await screen.findAllByLabelText(/Choose the dead letter of/))[0] as Element);
    expect(screen.getByRole("button", { name: "Replay 1" })).toBeTruthy();
    fireEvent.click(screen.getAllByText("Document failed validation")[0] as Element);
    expect(await screen.findByRole("complementary")).toBeTruthy();
    const filter = (value: string) => {
      const field = screen.getByLabelText("Type of the event");
      fireEvent.change(field, { target: { value } });
      fireEvent.keyDown(field, { key: "Enter" });
    };
    filter("click");
    expect(await screen.findByRole("button", { name: "Replay all" })).toBeTruthy();
    expect(screen.queryByRole("complementary")).toBeNull();
    filter("");
    await waitFor(() => expect(window.location.search).toBe(""));
    expect(screen.getByRole("button", { name: "Replay all" })).toBeTruthy();
  });

  it("lets nothing be chosen while the letters of another filter are still shown", async () => {
    const never = new Promise<Response>(() => {});
    const letters = fixture.deadLetters(NOW);
    serve({
      "/admin/dead-letters": (url) => (url.searchParams.has("type") ? never : letters),
    });
    show(<PipelineScreen />);
    const ticks = await screen.findAllByLabelText(/Choose/);
    expect(ticks.map((tick) => tick.hasAttribute("disabled"))).not.toContain(true);
    const field = screen.getByLabelText("Type of the event");
    fireEvent.change(field, { target: { value: "click" } });
    fireEvent.keyDown(field, { key: "Enter" });
    await waitFor(() => expect(window.location.search).toBe("?type=click"));
    const left = screen.getAllByLabelText(/Choose/);
    expect(left.map((tick) => tick.hasAttribute("disabled"))).not.toContain(false);
  });

  it("replays the chosen ones only after a dry run and a confirmation", async () => {
    const bodies: unknown[] = [];
    const outcome = { to: null, matched: 1, replayed: 0, purged: 0, remaining: 1 };
    serve({
      "/admin/dead-letters/replay": (_, init) => {
        const body = JSON.parse(String(init?.body));
        bodies.push(body);
        return body.dryRun
          ? { ...outcome, dryRun: true }
          : { ...outcome, dryRun: false, replayed: 1, remaining: 0 };
      },
    });
    show(<PipelineScreen />);
    fireEvent.click((await screen.findAllByLabelText(/Choose the dead letter of/))[0] as Element);
    fireEvent.click(screen.getByRole("button", { name: "Replay 1" }));
    const confirm = await screen.findByRole("button", { name: "Replay 1", hidden: false });
    expect(confirm).toBeTruthy();
    await screen.findByText(/Dry run/);
    expect(bodies).toEqual([{ ids: [fixture.deadLetters(NOW).items[0]?.id], dryRun: true }]);
    const buttons = screen.getAllByRole("button", { name: "Replay 1" });
    fireEvent.click(buttons.at(-1) as Element);
    expect(await screen.findByText("1 replayed, 0 remain.")).toBeTruthy();
    expect(bodies).toHaveLength(2);
  });
});

describe("ActionDialog", () => {
  it("confirms nothing where nothing matches", async () => {
    serve({ "/admin/dead-letters/purge": () => ({ ...fixture.actionOutcome(NOW), matched: 0 }) });
    const action = { kind: "purge", choice: { filter: {} }, subject: "all of them" } as const;
    show(<ActionDialog action={action} onClose={() => {}} />);
    await screen.findByText(/Dry run/);
    const confirm = screen.getByRole("button", { name: "Delete 0 for good" });
    expect(confirm.hasAttribute("disabled")).toBe(true);
  });

  it("does to those it has counted, and to none that came since", async () => {
    const bodies: unknown[] = [];
    serve({
      "/admin/dead-letters/purge": (_, init) => {
        const { dryRun, ...rest } = JSON.parse(String(init?.body));
        bodies.push(rest);
        const outcome = { ...fixture.actionOutcome(NOW), dryRun };
        const from = NOW - 3_600_000;
        return { ...outcome, from, ...(dryRun ? {} : { purged: 3, remaining: 0 }) };
      },
    });
    const filter = { reason: "refused_by_store", from: "-1h" };
    const action = { kind: "purge", choice: { filter }, subject: "those" } as const;
    show(<ActionDialog action={action} onClose={() => {}} />);
    await screen.findByText(/Dry run/);
    fireEvent.click(screen.getByRole("button", { name: "Delete 3 for good" }));
    expect(await screen.findByText("3 deleted, 0 remain.")).toBeTruthy();
    const counted = { ...filter, from: NOW - 3_600_000, to: NOW };
    expect(bodies).toEqual([{ filter }, { filter: counted }]);
  });
});

describe("Letter", () => {
  it("is asked for again when told to, and does not say that it is by itself", async () => {
    const letter = fixture.deadLetters(NOW).items[0] as DeadLetter;
    const away = () => problem(503, { title: "MongoDB is away", retryable: true });
    const asked = serve({ [`/admin/dead-letters/${letter.id}`]: away });
    show(<Letter letter={letter} onClose={() => {}} />);
    expect((await screen.findByRole("alert")).textContent).toBe("MongoDB is away.Try again");
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    await waitFor(() => expect(asked).toHaveLength(2));
  });
});

describe("Get started", () => {
  it("says no more that sending failed once an event has arrived", async () => {
    const tell = stream({ fails: false });
    serve({
      "/admin/info": () => fixture.info("127.0.0.1:8080"),
      "/events": () => problem(503, { title: "overloaded", retryable: true }),
    });
    show(<Start />);
    fireEvent.click(await screen.findByRole("button", { name: "Send one from here" }));
    expect(await screen.findByRole("alert")).toBeTruthy();
    tell("event", eventAt(NOW));
    expect(await screen.findByText("See all of them live")).toBeTruthy();
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("sends again what failed when told to", async () => {
    stream({ fails: false });
    const asked = serve({
      "/admin/info": () => fixture.info("127.0.0.1:8080"),
      "/events": () => problem(503, { title: "overloaded", retryable: true }),
    });
    show(<Start />);
    fireEvent.click(await screen.findByRole("button", { name: "Send one from here" }));
    fireEvent.click(await screen.findByRole("button", { name: "Try again" }));
    await waitFor(() =>
      expect(asked.filter(({ pathname }) => pathname === "/events")).toHaveLength(2),
    );
  });
});

describe("Live", () => {
  it("says that events may be missing until it is told that this was read", async () => {
    const tell = stream({ fails: false });
    serve();
    show(<Live />);
    tell("reset", { reason: "left_window" });
    expect(await screen.findByText(/The stream began anew/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Dismiss" }));
    expect(screen.queryByText(/The stream began anew/)).toBeNull();
    tell("reset", { reason: "torn" });
    expect(screen.getByText(/The stream began anew/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Clear" }));
    expect(screen.queryByText(/The stream began anew/)).toBeNull();
  });

  it("says why the stream is refused", async () => {
    stream({ fails: true });
    const detail = "type: no type may begin with __";
    const asked = serve({ "/stream": () => problem(400, { detail }) });
    window.history.replaceState(null, "", "/live?type=__x");
    show(<Live />);
    expect((await screen.findByRole("alert")).textContent).toContain(
      "Type: no type may begin with __.",
    );
    expect(screen.getByText(`Refused: ${detail}`)).toBeTruthy();
    expect(asked.filter(({ pathname }) => pathname === "/stream")).toHaveLength(1);
  });
});

describe("FilterBar", () => {
  it("adds types by Enter or comma, and takes them away", async () => {
    serve();
    const onChange = vi.fn();
    show(<FilterBar filters={{ types: ["click"] }} onChange={onChange} />);
    const input = screen.getByLabelText("Add a type");
    fireEvent.input(input, { target: { value: "view, click search" } });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(onChange).toHaveBeenLastCalledWith({ types: ["click", "view", "search"] });
    fireEvent.click(screen.getByLabelText("Do not filter by type click"));
    expect(onChange).toHaveBeenLastCalledWith({ types: [] });
  });

  it("proposes only types that can be asked for", async () => {
    const counted = ["click", OTHER_TYPES, "view"].map((_id) => ({ _id, count: 1 }));
    const answer = fixture.metrics(NOW, true);
    serve({ "/metrics": () => ({ ...answer, totals: { ...answer.totals, byType: counted } }) });
    show(<FilterBar filters={{ types: ["click"] }} onChange={() => {}} />);
    const proposed = () => [...document.querySelectorAll("option")].map(({ value }) => value);
    await waitFor(() => expect(proposed()).toEqual(["view"]));
  });
});

describe("FeedStatus", () => {
  it("says when it tries again, and does so at once when asked to", () => {
    const retry = vi.fn();
    const state = { phase: "waiting", retryAt: Date.now() + 4_000, attempts: 2 } as const;
    show(<FeedStatus state={state} retry={retry} />);
    expect(screen.getByText(/in 4\.0 s/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "now" }));
    expect(retry).toHaveBeenCalledOnce();
  });
});

describe("Json", () => {
  it("colours tokens and changes no character", () => {
    const value = { 'quo"te': [1, -2.5e3, true, null, "a: b"], nested: { empty: {} } };
    show(<Json value={value} label="json" />);
    const code = screen.getByLabelText("json");
    expect(code.textContent).toBe(JSON.stringify(value, null, 2));
    expect(code.querySelector(".json-name")?.textContent).toBe('"quo\\"te"');
  });
});
