import { cleanup, fireEvent, renderHook } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { useKeys } from "../src/lib/keys.ts";

afterEach(cleanup);

function press(...keys: string[]): void {
  for (const key of keys) fireEvent.keyDown(window, { key });
}

it("a key does what it is for, whatever was pressed before", () => {
  const help = vi.fn();
  renderHook(() => useKeys({ "?": help }));
  press("Escape", "?", "g", "?");
  expect(help).toHaveBeenCalledTimes(2);
});

it("two keys in a row are a sequence, in this order only", () => {
  const go = vi.fn();
  renderHook(() => useKeys({ "g l": go }));
  press("l", "g", "x", "l");
  expect(go).not.toHaveBeenCalled();
  press("g", "l");
  expect(go).toHaveBeenCalledOnce();
});

it("keys with a modifier, and those typed into a field, are left alone", () => {
  const theme = vi.fn();
  renderHook(() => useKeys({ t: theme }));
  const input = document.createElement("input");
  document.body.append(input);
  fireEvent.keyDown(input, { key: "t", bubbles: true });
  fireEvent.keyDown(window, { key: "t", ctrlKey: true });
  expect(theme).not.toHaveBeenCalled();
});
