import { useColorScheme, useMediaQuery } from "@mui/material";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useLayoutEffect, useSyncExternalStore } from "react";
import { api, data } from "./api/client";
import { useLostAt } from "./api/live";
import { isRefused, onSessionChange } from "./api/session";
import { useNow } from "./components/Now";
import { JobSearch } from "./JobSearch";
import { LoginPage } from "./pages/LoginPage";
import { keepProject, ProjectChoice } from "./ProjectChoice";
import { RAIL } from "./rail";
import { duration } from "./words";

/** Pages without a stream ask this often whether the server is there. */
const LOOK_MS = 5_000;

/** What surrounds every page: the rail, the project, the search and the connection. */
export function Frame() {
  useDarkAttribute();
  const refused = useSyncExternalStore(onSessionChange, isRefused);
  const lostAt = useLostAt();
  const isLogin = useLocation({ select: (place) => place.pathname === "/login" });
  if (refused || isLogin) return <LoginPage />;
  return (
    <div className="frame">
      <header className="rail">
        <Link to="/jobs" className="brand">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M2 13 6 7l3 3 5-7" fill="none" stroke="var(--accent)" strokeWidth="2.2" strokeLinecap="round" strokeLinejoin="round" />
          </svg>
          Headway
        </Link>
        <nav aria-label="Pages">
          {RAIL.map(({ to, word, shape }) => (
            <Link key={to} to={to} search={keepProject} activeProps={{ className: "active" }}>
              <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden="true">
                <path d={shape} />
              </svg>
              {word}
            </Link>
          ))}
        </nav>
      </header>
      <div className="topbar">
        <ProjectChoice />
        <JobSearch />
        <span className="grow" />
        <Connection lostAt={lostAt} />
      </div>
      <main className={lostAt === null ? "main" : "main stale"}>
        <Outlet />
      </main>
    </div>
  );
}

function Connection({ lostAt }: { lostAt: number | null }) {
  const now = useNow(1);
  useQuery({ queryKey: ["livez"], queryFn: () => data(api.GET("/livez")), refetchInterval: LOOK_MS, retry: false });
  if (lostAt === null) return <span className="light quiet">live</span>;
  const seconds = Math.max(1, Math.floor(now - lostAt / 1000));
  return (
    <span className="light lost" role="status">
      connection lost {seconds < 10 ? `${seconds} s` : duration(seconds)} ago
    </span>
  );
}

/** Our own colours follow the scheme that MUI uses. */
function useDarkAttribute(): void {
  const { mode } = useColorScheme();
  const systemIsDark = useMediaQuery("(prefers-color-scheme: dark)", { noSsr: true });
  const dark = mode === "dark" || (mode !== "light" && systemIsDark);
  useLayoutEffect(() => {
    document.documentElement.toggleAttribute("data-dark", dark);
  }, [dark]);
}
