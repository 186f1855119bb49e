import { afterEach, expect, it, vi } from "vitest";
import { EXPORT_EVENTS, exportEvents } from "../src/api/export.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const signal = new AbortController().signal;

/** Answers with these parts of a body, and breaks off where one is null. */
function answer(parts: (string | null)[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string, init: { headers: Record<string, string> }) => {
    asked.push(path, init.headers.accept ?? "");
    const body = new ReadableStream({
      start(controller) {
        for (const part of parts) {
          if (part === null) controller.error(new TypeError("network error"));
          else controller.enqueue(new TextEncoder().encode(part));
        }
        if (!parts.includes(null)) controller.close();
      },
    });
    return new Response(body, { status: 200 });
  });
  return asked;
}

it("keeps every line and asks with the filters", async () => {
  const asked = answer(['{"id":"1"}\n{"id', '":"2"}\n', '{"id":"3"}\n']);
  const progress: number[] = [];
  const filters = { types: ["a", "b"], from: "-1h" };
  const { content, isCut } = await exportEvents(filters, (read) => progress.push(read), signal);
  expect(await content.text()).toBe('{"id":"1"}\n{"id":"2"}\n{"id":"3"}\n');
  expect(progress).toEqual([1, 2, 3]);
  expect(isCut).toBe(false);
  const path = `/events?type=a&type=b&from=-1h&limit=${EXPORT_EVENTS}`;
  expect(asked).toEqual([path, "application/x-ndjson"]);
});

it("says so when it ends at its bound", async () => {
  answer(["{}\n".repeat(EXPORT_EVENTS)]);
  const { isCut } = await exportEvents({ types: [] }, () => {}, signal);
  expect(isCut).toBe(true);
});

it("fails when the answer is broken off", async () => {
  answer(['{"id":"1"}\n', null]);
  await expect(exportEvents({ types: [] }, () => {}, signal)).rejects.toThrow("network error");
});
