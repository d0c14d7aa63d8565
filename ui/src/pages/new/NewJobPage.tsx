import { Button, MenuItem, Select, TextField, ToggleButton, ToggleButtonGroup } from "@mui/material";
import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useDeferredValue, useState } from "react";
import { api, data, type Schemas } from "../../api/client";
import { Failed, Loading } from "../../components/States";
import { keepProject, useProject } from "../../ProjectChoice";
import { plural } from "../../words";
import { Parameters, type ParameterSchema } from "./Parameters";
import { type Asked, askedOf, commandOf, yamlOf } from "./spec";

const route = getRouteApi("/new");
const BUILT_IN = ["mnist", "digits"];
const WORDS: Record<string, string> = {
  mlp: "A small network for a first look",
  cnn: "The best of the three for images",
  lstm: "Reads an image row by row",
  script: "Your own PyTorch script",
};
const EXAMPLE = `import headway

run = headway.run()
for step in range(100):
    print("step", step)
    run.log(step, loss=1 / (step + 1))
`;

/** One screen: what to train, on which data, with how many ranks; beside it what would happen. */
export function NewJobPage() {
  const { trainer: first } = route.useSearch();
  const project = useProject();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<Asked>(() => startOf(first ?? "cnn"));
  const [text, setText] = useState<string | null>(null);
  const { data: trainers, error } = useQuery({
    queryKey: ["trainers"],
    queryFn: () => data(api.GET("/api/v1/trainers")),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const { data: stored = [] } = useQuery({
    queryKey: ["datasets", project],
    queryFn: () => data(api.GET("/api/v1/datasets", { params: { query: { project } } })),
  });
  const planned = useDeferredValue(asked);
  const plan = useQuery({
    queryKey: ["plan", project, planned],
    queryFn: () => data(api.POST("/api/v1/jobs/plan", { params: { query: { project } }, body: planned as Schemas["JobSpec"] })),
    refetchInterval: 5_000,
    retry: false,
    placeholderData: (before) => before,
  });
  const submit = useMutation({
    mutationFn: () => data(api.POST("/api/v1/jobs", { params: { query: { project } }, body: asked as Schemas["JobSpec"] })),
    onSuccess: (made) => void navigate({ to: "/jobs/$job", params: { job: made.id }, search: keepProject({ project }) }),
  });
  const kind = typeof asked.trainer === "string" ? asked.trainer : "script";
  const datasets = [...new Set([...BUILT_IN, ...stored.map((one) => one.name)])];
  const schema = trainers?.[kind] as ParameterSchema | undefined;

  function change(changes: Asked): void {
    setText(null);
    setAsked((before) => Object.fromEntries(Object.entries({ ...before, ...changes }).filter(([, value]) => value !== undefined && value !== "")));
  }
  function onText(written: string): void {
    setText(written);
    const read = askedOf(written);
    if (typeof read !== "string") setAsked(read);
  }
  const unread = text === null ? null : askedOf(text);
  return (
    <div className="page fill">
      <h1>New job</h1>
      {error && <Failed error={error} />}
      <div className="two">
        <div className="stack">
          <fieldset>
            <legend>1. What</legend>
            <ToggleButtonGroup exclusive size="small" value={kind} aria-label="What to train" onChange={(_, chosen) => chosen && change({ ...cleared(asked), ...startOf(chosen as string) })}>
              {["mlp", "cnn", "lstm", "script"].map((one) => (
                <ToggleButton key={one} value={one}>
                  {one}
                </ToggleButton>
              ))}
            </ToggleButtonGroup>
            <p className="quiet">{WORDS[kind]}</p>
            {kind === "script" && (
              <TextField
                multiline
                minRows={8}
                label="Source"
                value={asked.source ?? ""}
                onChange={(event) => change({ source: event.target.value })}
                slotProps={{ htmlInput: { className: "code", spellCheck: false } }}
              />
            )}
          </fieldset>
          <fieldset>
            <legend>2. Data</legend>
            <Select
              value={(asked.dataset as string | undefined) ?? ""}
              displayEmpty
              onChange={(event) => change({ dataset: event.target.value })}
              inputProps={{ "aria-label": "Dataset" }}
              sx={{ minWidth: 180 }}
            >
              {kind === "script" && <MenuItem value="">None</MenuItem>}
              {datasets.map((name) => (
                <MenuItem key={name} value={name}>
                  {name}
                </MenuItem>
              ))}
            </Select>
          </fieldset>
          <fieldset>
            <legend>3. How many ranks</legend>
            <div className="line">
              <TextField
                type="number"
                value={(asked.world_size as number | undefined) ?? 1}
                onChange={(event) => change({ world_size: Math.max(1, Number(event.target.value) || 1) })}
                slotProps={{ htmlInput: { "aria-label": "Ranks", min: 1 } }}
                sx={{ width: 90 }}
              />
              <span className="quiet">Each is one process and takes one slot.</span>
            </div>
          </fieldset>
          <fieldset>
            <legend>Name</legend>
            <TextField
              value={asked.name ?? ""}
              placeholder="made up if left empty"
              onChange={(event) => change({ name: event.target.value })}
              slotProps={{ htmlInput: { "aria-label": "Name", maxLength: 63 } }}
            />
          </fieldset>
          {schema ? (
            <Parameters
              schema={schema}
              values={(asked.parameters as Record<string, unknown> | undefined) ?? {}}
              onChange={(values) => change({ parameters: Object.keys(values).length > 0 ? values : undefined })}
            />
          ) : (
            kind !== "script" && !error && <Loading what="the parameters" />
          )}
        </div>
        <aside className="stack">
          <section className="stack" aria-label="What would happen" aria-live="polite">
            {plan.error ? (
              <Failed error={plan.error} />
            ) : (
              <div className="notice going">
                {plan.data?.sentence ?? "Looking for free slots"}
                {plan.data && Object.keys(plan.data.workers).length > 0 && (
                  <div className="quiet">
                    {Object.entries(plan.data.workers)
                      .map(([worker, ranks]) => `${plural(ranks, "rank")} on ${worker}`)
                      .join(", ")}
                  </div>
                )}
              </div>
            )}
            <Button variant="contained" disabled={plan.error !== null || submit.isPending || typeof unread === "string"} onClick={() => submit.mutate()}>
              Start the job
            </Button>
            {submit.error && <Failed error={submit.error} />}
          </section>
          <h2>The same as a job file</h2>
          <TextField
            multiline
            minRows={6}
            value={text ?? yamlOf(asked)}
            onChange={(event) => onText(event.target.value)}
            slotProps={{ htmlInput: { className: "code", "aria-label": "Job file", spellCheck: false } }}
          />
          {typeof unread === "string" && <div className="notice bad">{unread}</div>}
          {kind !== "script" && (
            <>
              <h2>The same as a command</h2>
              <pre className="block" tabIndex={0}>
                {commandOf(asked)}
              </pre>
            </>
          )}
        </aside>
      </div>
    </div>
  );
}

function startOf(kind: string): Asked {
  if (kind === "script") return { script: "train.py", source: EXAMPLE };
  return { trainer: kind, dataset: "mnist", world_size: 1, parameters: { epochs: 2 } };
}

/** What another kind of job has and this one may not have. */
function cleared(asked: Asked): Asked {
  return { ...asked, trainer: undefined, script: undefined, source: undefined, dataset: undefined, parameters: undefined };
}
