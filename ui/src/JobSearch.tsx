import { Dialog, InputBase } from "@mui/material";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useState } from "react";
import { api, data } from "./api/client";
import { StatusMark } from "./components/StatusMark";
import { keepProject, useProject } from "./ProjectChoice";

/** Jumps to any job by a part of its name. `/` or Ctrl-K opens it. */
export function JobSearch() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    function onKey(event: globalThis.KeyboardEvent): void {
      const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select, [contenteditable]");
      const asked = (event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey));
      if (!asked) return;
      event.preventDefault();
      setOpen(true);
    }
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <button type="button" className="search" onClick={() => setOpen(true)}>
        <span className="cut">Find a job</span>
        <kbd>/</kbd>
      </button>
      <Dialog open={open} onClose={() => setOpen(false)} fullWidth maxWidth="sm" aria-label="Find a job">
        {open && <Found onDone={() => setOpen(false)} />}
      </Dialog>
    </>
  );
}

function Found({ onDone }: { onDone: () => void }) {
  const project = useProject();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [at, setAt] = useState(0);
  const { data: page } = useQuery({
    queryKey: ["find", project, name],
    queryFn: () => data(api.GET("/api/v1/jobs", { params: { query: { name, limit: 12, project } } })),
    placeholderData: keepPreviousData,
  });
  const jobs = page?.jobs ?? [];
  function go(id: string | undefined): void {
    if (id === undefined) return;
    onDone();
    void navigate({ to: "/jobs/$job", params: { job: id }, search: keepProject({ project }) });
  }
  function onKeyDown(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(jobs.length - 1, at + step)));
    else if (event.key === "Enter") go(jobs[at]?.id);
    else return;
    event.preventDefault();
  }
  return (
    <div onKeyDown={onKeyDown}>
      <InputBase
        autoFocus
        fullWidth
        placeholder="A part of the job's name"
        value={name}
        onChange={(event) => {
          setName(event.target.value.slice(0, 63));
          setAt(0);
        }}
        inputProps={{ "aria-label": "A part of the job's name" }}
        sx={{ px: 2, height: 44, borderBottom: "1px solid var(--line)", fontSize: 14 }}
      />
      {jobs.map((job, index) => (
        <div
          key={job.id}
          className={index === at ? "rowline chosen" : "rowline"}
          style={{ gridTemplateColumns: "100px 1fr", cursor: "pointer" }}
          onClick={() => go(job.id)}
        >
          <StatusMark status={job.status} hold={job.hold} />
          <bdi className="cut">{job.name}</bdi>
        </div>
      ))}
      {page && jobs.length === 0 && <p className="quiet" style={{ padding: 16 }}>No job has this in its name.</p>}
    </div>
  );
}
