// What a client of the API relies on. It is compiled, never run.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type Schemas = components["schemas"];
const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8420" });

export async function peakMemory(job: string): Promise<number> {
  const { data, error } = await client.GET("/api/v1/jobs/{job}/attempts", { params: { path: { job } } });
  if (error !== undefined) {
    throw new Error(`${error.code}: ${error.detail}`);
  }
  const curve: number[][] = data[0]?.failure?.memory_curve ?? [];
  return Math.max(...curve.map(([, bytes]) => bytes ?? 0));
}

export async function lastLines(job: string): Promise<string[]> {
  const { data } = await client.GET("/api/v1/jobs/{job}/logs", { params: { path: { job } } });
  return data?.lines.map((line) => `${line.rank}: ${line.text}`) ?? [];
}

export async function lossOf(job: string): Promise<(number | "NaN" | "Infinity" | "-Infinity")[]> {
  const query = { name: ["train/loss"], points: 100 };
  const { data } = await client.GET("/api/v1/jobs/{job}/metrics", { params: { path: { job }, query } });
  return data?.series[0]?.values ?? [];
}

export async function submit(): Promise<string> {
  const body = { trainer: "mlp", dataset: "digits" };
  const { data, error } = await client.POST("/api/v1/jobs", { body });
  if (data === undefined) {
    const problem: Schemas["Problem"] = error;
    throw new Error(problem.errors?.map((field) => field.at).join() ?? problem.title);
  }
  return data.status === "queued" ? data.id : data.sentence;
}

export function shown(frame: Schemas["FollowFrame"]): string {
  switch (frame.kind) {
    case "event":
      return `${frame.number} ${frame.type}`;
    case "report":
      return frame.lines.map((line) => line.text).join("\n");
    case "end":
      return frame.sentence;
  }
}

export function changed(frame: Schemas["JobsFrame"]): string {
  switch (frame.kind) {
    case "job":
      return frame.job.name;
    case "deleted":
      return frame.id;
    case "ready":
      return "";
  }
}
