import { expect, test } from "vitest";
import { checkJobsSearch } from "../src/pages/jobs/search";

test("an address keeps what makes sense and drops the rest", () => {
  const given = { status: ["running", "nonsense"], sort: "loss", order: "sideways", name: 7, chosen: "j-1", other: {} };
  expect(checkJobsSearch(given)).toEqual({ status: ["running"], sort: "loss", name: "7", chosen: ["j-1"] });
});
