import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, data, type Schemas } from "../../api/client";
import { useStream } from "../../api/live";
import { isOver } from "../../components/StatusMark";
import { useProject } from "../../ProjectChoice";

export type Job = Schemas["JobView"];
export type Attempt = Schemas["AttemptView"];
export type Series = Schemas["MetricSeries"];

const RENEW_MS = 250;
const LOOK_MS = 2_000;

/** One job. While it lives it is looked at again whenever its stream says that something happened. */
export function useJob(id: string) {
  const project = useProject();
  return useQuery({
    queryKey: ["job", id, "job"],
    queryFn: () => data(api.GET("/api/v1/jobs/{job}", { params: { path: { job: id }, query: { project } } })),
    refetchInterval: (query) => (query.state.data && isOver(query.state.data.status) ? false : LOOK_MS),
  });
}

export function useAttempts(id: string) {
  const project = useProject();
  return useQuery({
    queryKey: ["job", id, "attempts"],
    queryFn: () => data(api.GET("/api/v1/jobs/{job}/attempts", { params: { path: { job: id }, query: { project } } })),
  });
}

export interface MetricsWanted {
  names?: string[];
  zoom?: [number, number];
  points: number;
}

/** The metric series of a job, finer where the address zooms in. */
export function useMetrics(id: string, { names, zoom, points }: MetricsWanted) {
  const project = useProject();
  const [first, last] = zoom ?? [];
  const query = { name: names, points, first_step: floor(first), last_step: ceil(last), project };
  return useQuery({
    queryKey: ["job", id, "metrics", query],
    queryFn: () => data(api.GET("/api/v1/jobs/{job}/metrics", { params: { path: { job: id }, query } })),
    placeholderData: (before) => before,
  });
}

function floor(step: number | undefined): number | undefined {
  return step === undefined ? undefined : Math.floor(step) - 1;
}

function ceil(step: number | undefined): number | undefined {
  return step === undefined ? undefined : Math.ceil(step) + 1;
}

/** Renews what is shown of a job soon after something happened to it. */
export function useRenewal(id: string, isLive: boolean): void {
  const queries = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const url = `/api/v1/jobs/${encodeURIComponent(id)}/follow?include=events,metrics`;
  useStream(isLive ? url : null, () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void queries.invalidateQueries({ queryKey: ["job", id] });
    }, RENEW_MS);
  });
}
