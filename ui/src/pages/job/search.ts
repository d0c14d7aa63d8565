/** What the address says about one job. */
export interface JobSearch {
  project?: string;
}

export function checkJobSearch(given: Record<string, unknown>): JobSearch {
  return typeof given.project === "string" ? { project: given.project } : {};
}
