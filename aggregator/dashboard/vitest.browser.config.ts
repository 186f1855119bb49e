import { defineConfig } from "vitest/config";

/** The real system and a real browser: one after the other, with time for a busy machine. */
export default defineConfig({
  test: {
    include: ["browser/**/*.test.ts"],
    globalSetup: "browser/setup.ts",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
