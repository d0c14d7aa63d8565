import type { components } from "./schema";

type Body = components["schemas"]["Problem"];

/** What the API answered instead of the wanted: its own sentence. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly fields: Body["errors"] = [],
  ) {
    super(detail);
    this.name = "Problem";
  }

  static async of(response: Response): Promise<Problem> {
    const body = (await response.json().catch(() => null)) as Partial<Body> | null;
    const sentence = body?.detail ?? `The server answered ${response.status} without a reason.`;
    return new Problem(response.status, body?.code ?? "unknown", sentence, body?.errors ?? []);
  }
}

/** The sentence to show for whatever was thrown. */
export function sentenceOf(error: unknown): string {
  if (error instanceof Problem) return error.message;
  if (error instanceof TypeError) return "The server does not answer. This page tries again by itself.";
  return error instanceof Error ? error.message : String(error);
}
