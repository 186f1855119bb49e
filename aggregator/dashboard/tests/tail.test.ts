import { describe, expect, it } from "vitest";
import type { EventItem } from "../src/api/types.ts";
import {
  append,
  breakOff,
  clear,
  EMPTY_TAIL,
  hold,
  mend,
  release,
  TAIL_EVENTS,
  waiting,
} from "../src/live/tail.ts";

const events = (...ids: number[]): EventItem[] =>
  ids.map((id) => ({ id: String(id), eventType: "click", timestamp: "" }));
const ids = (shown: readonly EventItem[]) => shown.map(({ id }) => id);

describe("a tail", () => {
  it("shows the newest first", () => {
    const tail = append(append(EMPTY_TAIL, events(1, 2)), events(3));
    expect(ids(tail.shown)).toEqual(["3", "2", "1"]);
    expect(tail.received).toBe(3);
  });

  it("holds back while it is paused, and shows all of it afterwards", () => {
    const paused = append(hold(append(EMPTY_TAIL, events(1))), events(2, 3));
    expect(ids(paused.shown)).toEqual(["1"]);
    expect(waiting(paused)).toBe(2);
    const resumed = release(paused);
    expect(ids(resumed.shown)).toEqual(["3", "2", "1"]);
    expect(waiting(resumed)).toBe(0);
  });

  it("is bounded, shown and held, and counts what it lets go", () => {
    const many = events(...Array.from({ length: TAIL_EVENTS + 5 }, (_, at) => at));
    expect(append(EMPTY_TAIL, many).shown).toHaveLength(TAIL_EVENTS);
    const paused = append(hold(EMPTY_TAIL), many);
    expect(paused.held).toHaveLength(TAIL_EVENTS);
    expect(paused.forgotten).toBe(5);
    expect(waiting(paused)).toBe(TAIL_EVENTS + 5);
    expect(ids(paused.held)[0]).toBe(String(TAIL_EVENTS + 4));
  });

  it("numbers what it shows, so that an event that comes twice is two rows", () => {
    const paused = append(hold(append(EMPTY_TAIL, events(1, 1))), events(1));
    expect(paused.placed).toBe(2);
    expect(release(paused).placed).toBe(3);
  });

  it.each([
    ["shown", false],
    ["held", true],
  ])("says no more of a gap that has left what is %s", (_, isHeld) => {
    const begun = append(isHeld ? hold(EMPTY_TAIL) : EMPTY_TAIL, events(1));
    const fill = events(...Array.from({ length: TAIL_EVENTS }, (_, at) => at));
    const filled = append(breakOff(begun), fill);
    expect(filled.gap).toBe(1);
    expect(append(filled, events(2)).gap).toBeNull();
    expect(mend(filled).gap).toBeNull();
    expect(clear(filled).gap).toBeNull();
  });

  it("stays paused when it is cleared", () => {
    const cleared = clear(append(hold(EMPTY_TAIL), events(1)));
    expect(cleared.isHolding).toBe(true);
    expect(waiting(cleared)).toBe(0);
  });
});
