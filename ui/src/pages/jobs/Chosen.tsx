import { Button } from "@mui/material";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../../api/client";
import { sentenceOf } from "../../api/problem";
import { isOver } from "../../components/StatusMark";
import { useProject } from "../../ProjectChoice";
import { plural } from "../../words";
import type { Row } from "./rows";

type Verb = "cancel" | "pause" | "resume" | "rerun" | "delete";

const MAY: Record<Verb, (row: Row) => boolean> = {
  cancel: (row) => !isOver(row.status),
  pause: (row) => !isOver(row.status) && !row.hold,
  resume: (row) => row.hold && !isOver(row.status),
  rerun: () => true,
  delete: (row) => isOver(row.status),
};

/** What can be done with all chosen jobs. A verb takes those jobs that allow it, and says so. */
export function Chosen({ ids, rows }: { ids: string[]; rows: Row[] }) {
  const project = useProject();
  const queries = useQueryClient();
  const navigate = useNavigate({ from: "/jobs" });
  const [asked, setAsked] = useState<Verb | null>(null);
  const chosen = rows.filter((row) => ids.includes(row.id));
  const action = useMutation({
    mutationFn: async (verb: Verb) => {
      const params = (job: string) => ({ params: { path: { job }, query: { project } } });
      const results = await Promise.allSettled(
        chosen.filter(MAY[verb]).map((row) =>
          verb === "delete"
            ? api.DELETE("/api/v1/jobs/{job}", params(row.id))
            : verb === "rerun"
              ? api.POST("/api/v1/jobs/{job}/rerun", { ...params(row.id), body: {} })
              : api.POST(`/api/v1/jobs/{job}/${verb}`, params(row.id)),
        ),
      );
      return results.flatMap((result) => (result.status === "rejected" ? [sentenceOf(result.reason)] : []));
    },
    onSettled: () => {
      setAsked(null);
      void queries.invalidateQueries({ queryKey: ["jobs"] });
    },
  });
  function leave(): void {
    void navigate({ search: (before) => ({ ...before, chosen: undefined }), replace: true });
  }
  return (
    <div>
      <div className="line wrap" role="toolbar" aria-label="Chosen jobs">
        <span>{plural(ids.length, "job")} chosen</span>
        {(["cancel", "pause", "resume", "rerun", "delete"] as const).map((verb) => {
          const able = chosen.filter(MAY[verb]).length;
          const isFinal = verb === "cancel" || verb === "delete";
          const word = asked === verb ? `Really ${verb} ${plural(able, "job")}` : `${verb} ${able}`;
          return (
            <Button
              key={verb}
              variant="outlined"
              color={asked === verb ? "error" : "inherit"}
              disabled={able === 0 || action.isPending}
              onClick={() => (isFinal && asked !== verb ? setAsked(verb) : action.mutate(verb))}
            >
              {word[0]?.toUpperCase() + word.slice(1)}
            </Button>
          );
        })}
        <Button variant="outlined" onClick={() => void navigate({ to: "/compare", search: { project, jobs: ids } })}>
          Compare {ids.length}
        </Button>
        <Button onClick={leave}>Choose none</Button>
      </div>
      {action.data?.map((sentence) => (
        <div key={sentence} className="notice bad" role="alert">
          {sentence}
        </div>
      ))}
    </div>
  );
}
