import { Button, MenuItem, Select, TextField } from "@mui/material";
import { getRouteApi } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../../api/client";
import { useStream } from "../../api/live";
import { Empty } from "../../components/States";
import { isOver } from "../../components/StatusMark";
import { count, moment } from "../../words";
import { ansi } from "./ansi";
import type { Job } from "./data";
import { LogStore } from "./LogStore";
import type { JobSearch } from "./search";

const route = getRouteApi("/jobs/$job");
const LINE_PIXELS = 18;
const END_PIXELS = 40;

/** What the ranks printed, live. Lines that are not in sight cost only their text. */
export default function Log({ job }: { job: Job }) {
  const { rank, find = "", line, at } = route.useSearch();
  const navigate = route.useNavigate();
  const [store] = useState(() => new LogStore());
  const [size, setSize] = useState(0);
  const [follows, setFollows] = useState(line === undefined && at === undefined);
  const wanted = useDeferredValue(find);
  const frame = useRef(0);

  useStream(`/api/v1/jobs/${encodeURIComponent(job.id)}/follow?include=logs`, (frames) => {
    for (const one of frames as Schemas["FollowFrame"][]) if (one.kind === "report") store.add(one);
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => setSize((before) => before + 1));
  });
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  useEffect(() => {
    if (at !== undefined) setFollows(false);
  }, [at]);

  // `size` says that the store has changed; the store itself stays the same object.
  const found = useMemo(() => (size < 0 ? null : store.matching(rank, wanted)), [store, size, rank, wanted]);
  function change(changes: JobSearch): void {
    void navigate({ search: (before) => ({ ...before, ...changes }), replace: true });
  }
  const length = found?.length ?? store.length;
  const marked = line ?? (at === undefined ? undefined : store.firstAt(at));
  return (
    <div className="log-view">
      <div className="line wrap">
        <Select
          value={rank ?? "all"}
          onChange={(event) => change({ rank: event.target.value === "all" ? undefined : Number(event.target.value) })}
          inputProps={{ "aria-label": "Rank" }}
        >
          <MenuItem value="all">All ranks</MenuItem>
          {[...store.seenRanks].sort((one, other) => one - other).map((one) => (
            <MenuItem key={one} value={one}>
              {one < 0 ? "Headway" : `Rank ${one}`}
            </MenuItem>
          ))}
        </Select>
        <TextField
          value={find}
          placeholder="Find in the log"
          onChange={(event) => change({ find: event.target.value || undefined })}
          slotProps={{ htmlInput: { "aria-label": "Find in the log" } }}
        />
        <span className="quiet">
          {found ? `${count(length)} of ${count(store.length)} lines` : `${count(length)} lines`}
        </span>
        <span className="grow" />
        {marked !== undefined && <Button onClick={() => change({ line: undefined, at: undefined })}>Line {count(marked + 1)}: unmark</Button>}
        <Button variant={follows ? "outlined" : "text"} aria-pressed={follows} onClick={() => setFollows(!follows)}>
          {follows ? "Following" : "Follow"}
        </Button>
      </div>
      {store.length === 0 ? (
        <Empty title={isOver(job.status) ? "The job printed nothing" : "Nothing printed yet"}>
          <p className="quiet">Everything that ranks print appears here at once.</p>
        </Empty>
      ) : (
        <Lines key={at} store={store} version={size} found={found} follows={follows} marked={marked} onFollow={setFollows} onMark={(one) => change({ line: one })} />
      )}
    </div>
  );
}

interface LinesProps {
  store: LogStore;
  version: number;
  found: number[] | null;
  follows: boolean;
  marked: number | undefined;
  onFollow: (follows: boolean) => void;
  onMark: (line: number) => void;
}

function Lines({ store, version, found, follows, marked, onFollow, onMark }: LinesProps) {
  const place = useRef<HTMLDivElement>(null);
  const length = found?.length ?? store.length;
  const virtual = useVirtualizer({
    count: length,
    getScrollElement: () => place.current,
    estimateSize: () => LINE_PIXELS,
    overscan: 30,
  });
  useEffect(() => {
    if (follows && version >= 0 && length > 0) virtual.scrollToIndex(length - 1, { align: "end" });
  }, [follows, length, version, virtual]);
  const isMarkSeen = useRef(false);
  useEffect(() => {
    if (marked === undefined || isMarkSeen.current) return;
    const row = found ? found.findIndex((index) => index >= marked) : marked;
    if (row < 0 || row >= length) return;
    isMarkSeen.current = true;
    virtual.scrollToIndex(row, { align: "center" });
  }, [marked, found, length, virtual]);
  function onScroll(): void {
    const element = place.current;
    if (element === null) return;
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < END_PIXELS;
    if (isAtEnd !== follows && (isAtEnd || version >= 0)) onFollow(isAtEnd);
  }
  return (
    <div className="log" ref={place} onWheel={onScroll} onTouchMove={onScroll} onKeyUp={onScroll} role="log" aria-label="Log" aria-live="off" tabIndex={0}>
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const index = found?.[item.index] ?? item.index;
          return (
            <div key={item.key} className={marked === index ? "log-line marked" : "log-line"} style={{ top: item.start }}>
              <button type="button" onClick={() => onMark(index)} title={`Attempt ${store.attempt(index)}, ${moment(store.at(index))}. Click to link to it.`}>
                {count(index + 1)}
              </button>
              <Text text={store.text(index)} rank={store.rank(index)} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

const RANK_COLOURS = 8;

const Text = memo(function Text({ text, rank }: { text: string; rank: number }) {
  return (
    <>
      <b className={rank < 0 ? "rank-own" : `rank-${rank % RANK_COLOURS}`}>{rank < 0 ? "—" : rank}</b>
      <span>
        {ansi(text).map((piece, place) => (
          <span key={place} className={piece.style || undefined}>
            {piece.text}
          </span>
        ))}
      </span>
    </>
  );
});
