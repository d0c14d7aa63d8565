export const TABS = ["charts", "log", "results", "files", "resources", "spec"] as const;
export type Tab = (typeof TABS)[number];

/** What the address says about one job. `zoom`: the first and last step. `line`: the marked log line. `at`: the time to look at. */
export interface JobSearch {
  project?: string;
  tab?: Tab;
  smoothing?: number;
  log?: true;
  zoom?: [number, number];
  rank?: number;
  find?: string;
  line?: number;
  at?: number;
}

export function checkJobSearch(given: Record<string, unknown>): JobSearch {
  const { project, smoothing, zoom, rank, find, line, at } = given;
  const tab = TABS.find((one) => one === given.tab);
  return {
    ...(typeof project === "string" ? { project } : {}),
    ...(tab && tab !== "charts" ? { tab } : {}),
    ...(isNumber(smoothing) && smoothing > 0 && smoothing < 1 ? { smoothing } : {}),
    ...(given.log === true ? { log: true as const } : {}),
    ...(Array.isArray(zoom) && isNumber(zoom[0]) && isNumber(zoom[1]) ? { zoom: [zoom[0], zoom[1]] as [number, number] } : {}),
    ...(isNumber(rank) ? { rank } : {}),
    ...(typeof find === "string" || isNumber(find) ? { find: String(find) } : {}),
    ...(isNumber(line) && line >= 0 ? { line } : {}),
    ...(isNumber(at) ? { at } : {}),
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
