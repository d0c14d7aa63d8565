import { defineConfig } from "vitest/config";

/** For tests with a browser and a server, which tests/browser/test_page.py starts. */
export default defineConfig({
  test: { include: ["tests/browser/**/*.browser.ts"], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false },
});
