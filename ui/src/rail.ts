/** The pages of the left rail, in their order. */
export const RAIL = [
  { to: "/jobs", word: "Jobs", shape: "M2 4h12M2 8h12M2 12h8" },
  { to: "/compare", word: "Compare", shape: "M2 12C6 12 6 4 14 4M2 8c5 0 7 5 12 5" },
  { to: "/datasets", word: "Datasets", shape: "M3 4c0-3 10-3 10 0v8c0 3-10 3-10 0zM3 4c0 3 10 3 10 0M3 8c0 3 10 3 10 0" },
  { to: "/models", word: "Models", shape: "M8 1.5 14 5v6l-6 3.5L2 11V5zM2 5l6 3.5L14 5M8 8.5v6" },
  { to: "/workers", word: "Workers", shape: "M2 3h12v4H2zM2 9h12v4H2zM4.5 5h.1M4.5 11h.1" },
  { to: "/settings", word: "Settings", shape: "M2 5h7M12 5h2M2 11h2M7 11h7M10.5 3.5v3M5.500 9.500v3" },
] as const;
