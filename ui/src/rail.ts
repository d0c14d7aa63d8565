/** The pages of the left rail, in their order. */
export const RAIL = [
  { to: "/jobs", word: "Jobs", shape: "M2 4h12M2 8h12M2 12h8" },
] as const;
