import { MenuItem, Select, TextField } from "@mui/material";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { wordOf } from "../../components/StatusMark";
import { type JobsSearch, SORTS, STATUSES } from "./search";

const SORT_WORDS = { created: "age", duration: "duration", loss: "test loss", accuracy: "test accuracy", f1: "test F1" };
const TYPING_MS = 250;

/** Filters and sorts the list as the API can. All of it is in the address. */
export function Filters({ search }: { search: JobsSearch }) {
  const navigate = useNavigate({ from: "/jobs" });
  function change(changes: Partial<Record<keyof JobsSearch, unknown>>): void {
    void navigate({ search: (before) => ({ ...before, ...changes }) as JobsSearch, replace: true });
  }
  return (
    <div className="line wrap">
      <Typed label="Name has" value={search.name} onChange={(name) => change({ name })} />
      <Select
        multiple
        displayEmpty
        value={search.status ?? []}
        onChange={(event) => change({ status: event.target.value })}
        renderValue={(chosen) => (chosen.length === 0 ? "Any status" : chosen.map(wordOf).join(", "))}
        inputProps={{ "aria-label": "Status" }}
      >
        {STATUSES.map((status) => (
          <MenuItem key={status} value={status}>
            {wordOf(status)}
          </MenuItem>
        ))}
      </Select>
      <Typed label="Dataset" value={search.dataset} onChange={(dataset) => change({ dataset })} />
      <Typed label="Label (name=value)" value={search.label} onChange={(label) => change({ label })} />
      <span className="grow" />
      <Select
        value={search.sort ?? "created"}
        onChange={(event) => change({ sort: event.target.value })}
        inputProps={{ "aria-label": "Sort by" }}
        renderValue={(sort) => `Sort: ${SORT_WORDS[sort]}`}
      >
        {SORTS.map((sort) => (
          <MenuItem key={sort} value={sort}>
            {SORT_WORDS[sort]}
          </MenuItem>
        ))}
      </Select>
      <Select
        value={search.order ?? "descending"}
        onChange={(event) => change({ order: event.target.value })}
        inputProps={{ "aria-label": "Order" }}
      >
        <MenuItem value="descending">{search.sort ? "greatest first" : "newest first"}</MenuItem>
        <MenuItem value="ascending">{search.sort ? "least first" : "oldest first"}</MenuItem>
      </Select>
    </div>
  );
}

interface TypedProps {
  label: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}

/** A text that takes effect when one stops typing. */
function Typed({ label, value = "", onChange }: TypedProps) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => onChange(text || undefined), TYPING_MS);
    return () => clearTimeout(timer);
  });
  return (
    <TextField
      value={text}
      placeholder={label}
      onChange={(event) => setText(event.target.value)}
      slotProps={{ htmlInput: { "aria-label": label, maxLength: 63 } }}
      className={label === "Name has" ? undefined : "hide-small"}
      sx={{ width: 150 }}
    />
  );
}
