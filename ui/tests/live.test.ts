import { expect, test } from "vitest";
import { lostSince, noteAnswer } from "../src/api/live";

test("a page without a stream learns from its requests whether the server is there", () => {
  noteAnswer(false);
  expect(lostSince()).not.toBeNull();
  noteAnswer(true);
  expect(lostSince()).toBeNull();
});
