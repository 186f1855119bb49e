import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** A new user has to find a system without events, so what that is tested in comes first. */
class NewUserFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isFirst = (file: TestSpecification) => file.moduleId.endsWith("/dashboard.test.ts");
    return [...files].sort((a, b) => Number(isFirst(b)) - Number(isFirst(a)));
  }
}

/** The real system and a real browser: one after the other, with time for a busy machine. */
export default defineConfig({
  test: {
    include: ["browser/**/*.test.ts"],
    globalSetup: "browser/setup.ts",
    fileParallelism: false,
    sequence: { sequencer: NewUserFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
