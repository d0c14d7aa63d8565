import createClient from "openapi-fetch";
import { noteAnswer } from "./live";
import { Problem } from "./problem";
import type { components, paths } from "./schema";
import { setRefused } from "./session";

export type Schemas = components["schemas"];

export const api = createClient<paths>({ credentials: "same-origin" });

api.use({
  onError() {
    noteAnswer(false);
  },
  async onResponse({ response }) {
    noteAnswer(true);
    if (response.ok) return undefined;
    const isLogin = new URL(response.url).pathname === "/api/v1/session";
    if (response.status === 401 && !isLogin) setRefused(true);
    throw await Problem.of(response);
  },
});

/** The data of an answer. Whatever is not an answer was thrown before. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
