import type { Schemas } from "../../api/client";

export type Status = Schemas["JobStatus"];
export type Sort = Schemas["JobSort"];

/** What the address says about the list of jobs. */
export interface JobsSearch {
  project?: string;
  status?: Status[];
  name?: string;
  dataset?: string;
  label?: string;
  sort?: Sort;
  order?: "ascending";
  chosen?: string[];
}

export const STATUSES: Status[] = ["queued", "starting", "running", "stopping", "succeeded", "failed", "cancelled"];
export const SORTS: Sort[] = ["created", "duration", "loss", "accuracy", "f1"];

/** Takes from an address what makes sense, and leaves the rest. */
export function checkJobsSearch(given: Record<string, unknown>): JobsSearch {
  const status = texts(given.status).filter((one): one is Status => (STATUSES as string[]).includes(one));
  const chosen = texts(given.chosen);
  const sort = SORTS.find((one) => one === given.sort);
  return {
    ...text(given, "project"),
    ...text(given, "name"),
    ...text(given, "dataset"),
    ...text(given, "label"),
    ...(status.length > 0 ? { status } : {}),
    ...(sort && sort !== "created" ? { sort } : {}),
    ...(given.order === "ascending" ? { order: "ascending" as const } : {}),
    ...(chosen.length > 0 ? { chosen } : {}),
  };
}

function texts(value: unknown): string[] {
  const list = Array.isArray(value) ? value : [value];
  return list.filter((one) => typeof one === "string" || typeof one === "number").map(String);
}

function text<Name extends string>(given: Record<string, unknown>, name: Name): { [key in Name]?: string } {
  const [value] = texts(given[name]);
  return value ? ({ [name]: value } as { [key in Name]?: string }) : {};
}
