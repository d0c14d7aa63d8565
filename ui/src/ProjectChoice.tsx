import { MenuItem, Select } from "@mui/material";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { api, data } from "./api/client";

/** The project of the address; none: the server's choice. */
export function useProject(): string | undefined {
  return useSearch({ strict: false, select: (search) => search.project });
}

export function keepProject(search: { project?: string }): { project?: string } {
  return search.project === undefined ? {} : { project: search.project };
}

/** Chooses the project, where there is more than one. */
export function ProjectChoice() {
  const project = useProject();
  const navigate = useNavigate();
  const { data: projects = [] } = useQuery({
    queryKey: ["projects"],
    queryFn: () => data(api.GET("/api/v1/projects")),
    staleTime: 60_000,
  });
  if (projects.length < 2) return <span className="quiet cut hide-small">{projects[0]?.name}</span>;
  const chosen = project ?? (projects.some((one) => one.name === "default") ? "default" : projects[0]?.name);
  return (
    <Select
      value={chosen}
      inputProps={{ "aria-label": "Project" }}
      onChange={(event) => void navigate({ to: "/jobs", search: { project: event.target.value } })}
    >
      {projects.map((one) => (
        <MenuItem key={one.name} value={one.name}>
          {one.name}
        </MenuItem>
      ))}
    </Select>
  );
}
