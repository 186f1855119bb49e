import { cleanup, fireEvent, render, renderHook, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { useKeys } from "../src/lib/keys.ts";
import { useSelection } from "../src/lib/selection.ts";
import { Drawer } from "../src/ui/inspector.tsx";
import { Scroll } from "../src/ui/parts.tsx";

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

it("arrows scroll what has the focus and can be scrolled, and move among rows else", () => {
  const down = vi.fn();
  renderHook(() => useKeys({ ArrowDown: down }));
  render(
    <>
      <Scroll label="Rows">
        <button type="button">Row</button>
      </Scroll>
      <Drawer title="Opened" label="Event" onClose={() => {}}>
        All of it
      </Drawer>
    </>,
  );
  const isLeft = (element: Element) => fireEvent.keyDown(element, { key: "ArrowDown" });
  expect(isLeft(screen.getByLabelText("Rows"))).toBe(true);
  expect(isLeft(screen.getByText("Opened"))).toBe(true);
  expect(down).not.toHaveBeenCalled();
  expect(isLeft(screen.getByRole("button", { name: "Row" }))).toBe(false);
  expect(down).toHaveBeenCalledOnce();
});

it("an empty list leaves the arrows to the browser", () => {
  const rows = [{ id: "one" }];
  const { result, rerender } = renderHook((items: typeof rows) => useSelection(items, null), {
    initialProps: [] as typeof rows,
  });
  expect(fireEvent.keyDown(window, { key: "ArrowDown" })).toBe(true);
  rerender(rows);
  expect(fireEvent.keyDown(window, { key: "ArrowDown" })).toBe(false);
  expect(result.current.active).toBe("one");
});
