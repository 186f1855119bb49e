/**
 * A canvas for charts: happy-dom has neither contexts nor paths, and uPlot draws in a microtask,
 * outside of any test. It keeps the names of what was called.
 */
export const drawn: string[] = [];

const kept: Record<string, unknown> = {};
const context = new Proxy(kept, { get: (_, name) => kept[String(name)] ?? call(String(name)) });

function call(name: string) {
  return () => {
    drawn.push(name);
    return { width: 10 };
  };
}

Object.assign(globalThis, {
  Path2D: function Path2D() {
    return context;
  },
});
HTMLCanvasElement.prototype.getContext = (() => context) as never;
