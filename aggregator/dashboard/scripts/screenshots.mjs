// Takes the pictures in docs/screenshots of a system that runs, with `make demo` running as well:
//   npm run screenshots -- http://127.0.0.1:8090
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const base = process.argv[2] ?? "http://127.0.0.1:8090";
const target = resolve(import.meta.dirname, "../../../docs/screenshots");
const QUALITY = 0.82;
const SETTLED_MS = 2_500;

/** Each screen, and what makes it worth looking at. */
const SCREENS = {
  overview: { path: "/" },
  live: {
    path: "/live",
    prepare: async (page) => {
      await page.locator(".stream-row").nth(8).waitFor();
      await page.locator(".stream-row").nth(4).click();
    },
  },
  events: {
    path: "/browse?type=order_paid&type=checkout",
    prepare: async (page) => {
      await page.locator("tbody tr").nth(2).click();
    },
  },
  pipeline: { path: "/pipeline" },
  start: {
    path: "/start",
    prepare: (page) => page.getByText("There it is").waitFor(),
  },
  demo: {
    path: "/demo",
    prepare: async (page) => {
      await page.getByText("Connected").waitFor();
      for (const tea of ["Sencha", "Oolong", "Assam"]) {
        await page.getByRole("button", { name: `for ${tea}` }).click();
        await page.waitForTimeout(600);
      }
    },
  },
};

const profile = mkdtempSync(join(tmpdir(), "evp-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  baseURL: base,
  viewport: { width: 1280, height: 800 },
});
mkdirSync(target, { recursive: true });
const canvas = await context.newPage();
for (const [name, { path, prepare }] of Object.entries(SCREENS)) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await context.newPage();
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.goto(path);
    await page.waitForTimeout(SETTLED_MS);
    await prepare?.(page);
    await page.waitForTimeout(SETTLED_MS / 2);
    const bytes = await webp(await page.screenshot());
    writeFileSync(join(target, `${name}-${colorScheme}.webp`), bytes);
    console.log(`${name}-${colorScheme}.webp  ${Math.round(bytes.length / 1024)} KiB`);
    await page.close();
  }
}
await context.close();
rmSync(profile, { recursive: true, force: true });

/** A third of the size of a PNG; the browser itself converts it. */
async function webp(png) {
  const url = await canvas.evaluate(
    async ([source, quality]) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      const surface = document.createElement("canvas");
      surface.width = image.naturalWidth;
      surface.height = image.naturalHeight;
      surface.getContext("2d").drawImage(image, 0, 0);
      return surface.toDataURL("image/webp", quality);
    },
    [`data:image/png;base64,${png.toString("base64")}`, QUALITY],
  );
  return Buffer.from(url.split(",")[1], "base64");
}
