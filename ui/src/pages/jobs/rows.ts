import { type InfiniteData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, data, type Schemas } from "../../api/client";
import { useStream } from "../../api/live";
import { useProject } from "../../ProjectChoice";
import type { JobsSearch } from "./search";

export type Row = Schemas["JobRow"];
type Page = Schemas["JobPage"];
type Frames = Schemas["JobsFrame"];

const PAGE_ROWS = 200;

/** The jobs that the address asks for, page by page. Rows that are shown change as their jobs do. */
export function useJobs(search: JobsSearch) {
  const project = useProject();
  const { name, dataset, label, status, sort, order } = search;
  const filters = { name, dataset, label: label === undefined ? undefined : [label], status, sort, order, project };
  return useInfiniteQuery({
    queryKey: ["jobs", filters],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: Page) => page.next ?? undefined,
    queryFn: ({ pageParam }) =>
      data(api.GET("/api/v1/jobs", { params: { query: { ...filters, limit: PAGE_ROWS, cursor: pageParam } } })),
    placeholderData: (before) => before,
  });
}

export interface Counts {
  running: number;
  waiting: number;
  failedToday: number;
}

/** Follows all jobs of the project: renews shown rows, counts by status, and says how many jobs are new. */
export function useJobFeed(): { counts: Counts | null; added: number; showAdded: () => void } {
  const project = useProject();
  const queries = useQueryClient();
  const known = useRef(new Map<string, Pick<Row, "status" | "ended_at" | "created_at">>());
  const isReady = useRef(false);
  const [counts, setCounts] = useState<Counts | null>(null);
  const [added, setAdded] = useState(0);

  function take(frames: Frames[]): void {
    const changed = new Map<string, Row | null>();
    let fresh = 0;
    for (const frame of frames) {
      if (frame.kind === "ready") isReady.current = true;
      else if (frame.kind === "deleted") {
        known.current.delete(frame.id);
        changed.set(frame.id, null);
      } else {
        const { id, status, ended_at, created_at } = frame.job;
        if (isReady.current && !known.current.has(id)) fresh += 1;
        known.current.set(id, { status, ended_at, created_at });
        changed.set(id, frame.job);
      }
    }
    queries.setQueriesData<InfiniteData<Page>>({ queryKey: ["jobs"] }, (lists) => renewed(lists, changed));
    if (fresh > 0) setAdded((before) => before + fresh);
    if (isReady.current) setCounts(counted(known.current.values()));
  }

  useStream(`/api/v1/events${project === undefined ? "" : `?project=${encodeURIComponent(project)}`}`, (frames) =>
    take(frames as Frames[]),
  );
  function showAdded(): void {
    setAdded(0);
    void queries.invalidateQueries({ queryKey: ["jobs"] });
  }
  return { counts, added, showAdded };
}

/** The lists with the changed rows in their places. Rows that did not change stay the same objects. */
export function renewed(
  lists: InfiniteData<Page> | undefined,
  changed: Map<string, Row | null>,
): InfiniteData<Page> | undefined {
  if (!lists?.pages.some((page) => page.jobs.some((row) => changed.has(row.id)))) return lists;
  const pages = lists.pages.map((page) => ({
    ...page,
    jobs: page.jobs.flatMap((row) => {
      const now = changed.get(row.id);
      return now === null ? [] : [now ?? row];
    }),
  }));
  return { ...lists, pages };
}

const DAY_SECONDS = 86_400;

function counted(jobs: Iterable<Pick<Row, "status" | "ended_at">>): Counts {
  const counts = { running: 0, waiting: 0, failedToday: 0 };
  const since = Date.now() / 1000 - DAY_SECONDS;
  for (const { status, ended_at } of jobs) {
    if (status === "queued") counts.waiting += 1;
    else if (status === "failed") counts.failedToday += (ended_at ?? 0) >= since ? 1 : 0;
    else if (status !== "succeeded" && status !== "cancelled") counts.running += 1;
  }
  return counts;
}
