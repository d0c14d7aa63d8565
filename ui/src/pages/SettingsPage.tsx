import { Button, ToggleButton, ToggleButtonGroup } from "@mui/material";
import { useColorScheme } from "@mui/material/styles";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { api, data } from "../api/client";
import { Problem } from "../api/problem";
import { setRefused } from "../api/session";
import { Age } from "../components/Now";
import { Failed, Forbidden, Loading } from "../components/States";
import { moment } from "../words";

/** How the page looks, who one is, and for those who may: tokens, users, the audit. */
export function SettingsPage() {
  return (
    <div className="page fill" style={{ gap: 26 }}>
      <h1>Settings</h1>
      <Appearance />
      <Account />
      <Tokens />
      <Users />
      <Audit />
    </div>
  );
}

function Appearance() {
  const { mode, setMode } = useColorScheme();
  return (
    <section className="stack" aria-label="Appearance">
      <h2>Appearance</h2>
      <ToggleButtonGroup exclusive size="small" value={mode ?? "system"} aria-label="Colours" onChange={(_, chosen) => chosen && setMode(chosen)}>
        {(["system", "light", "dark"] as const).map((one) => (
          <ToggleButton key={one} value={one}>
            {one}
          </ToggleButton>
        ))}
      </ToggleButtonGroup>
    </section>
  );
}

function Account() {
  const { data: account, error } = useQuery({ queryKey: ["account"], queryFn: () => data(api.GET("/api/v1/account")) });
  const leave = useMutation({
    mutationFn: () => data(api.DELETE("/api/v1/session")),
    onSuccess: () => setRefused(true),
  });
  return (
    <section className="stack" aria-label="Account">
      <h2>Account</h2>
      {error && <Failed error={error} />}
      {account && (
        <div className="line">
          {account.user ? (
            <span>
              <bdi>{account.user.name}</bdi>
              {account.user.admin && ", administrator"}{" "}
              <span className="quiet">
                {Object.entries(account.user.roles)
                  .map(([project, role]) => `${role} of ${project}`)
                  .join(", ")}
              </span>
            </span>
          ) : (
            <span>You have the token of the server's home, which may do everything.</span>
          )}
          <Button variant="outlined" onClick={() => leave.mutate()}>
            Log out
          </Button>
        </div>
      )}
    </section>
  );
}

/** A part of the settings that not everyone may see. */
function Part({ title, error, isPending, children }: { title: string; error: unknown; isPending: boolean; children: ReactNode }) {
  return (
    <section className="stack" aria-label={title}>
      <h2>{title}</h2>
      {isPending && <Loading what={title} />}
      {error instanceof Problem && error.status === 403 ? <Forbidden sentence={error.message} /> : Boolean(error) && <Failed error={error} />}
      {children}
    </section>
  );
}

function Tokens() {
  const queries = useQueryClient();
  const { data: tokens = [], error, isPending } = useQuery({ queryKey: ["tokens"], queryFn: () => data(api.GET("/api/v1/tokens")) });
  const revoke = useMutation({
    mutationFn: (token: string) => data(api.DELETE("/api/v1/tokens/{token}", { params: { path: { token } } })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  return (
    <Part title="Tokens" error={error ?? revoke.error} isPending={isPending}>
      {tokens.length > 0 && (
        <div className="table" tabIndex={0}>
          <table className="plain">
            <thead>
              <tr>
                {["Token", "Kind", "Of", "Allows", "Made", "Ends", "Revoke"].map((word) => (
                  <th key={word} scope="col">
                    {word}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {tokens.map((one) => (
                <tr key={`${one.kind} ${one.id} ${one.job ?? ""}`}>
                  <td>
                    <bdi>{one.name ?? one.id}</bdi>
                  </td>
                  <td>{one.kind}</td>
                  <td>{one.user ?? one.worker ?? one.job ?? ""}</td>
                  <td>{one.scopes?.join(", ") ?? ""}</td>
                  <td>{one.made_at ? <Age at={one.made_at} /> : ""}</td>
                  <td>{one.expires_at ? moment(one.expires_at) : ""}</td>
                  <td>{one.revoke && <Button onClick={() => one.revoke && revoke.mutate(one.revoke)}>Revoke</Button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Part>
  );
}

function Users() {
  const { data: users = [], error, isPending } = useQuery({ queryKey: ["users"], queryFn: () => data(api.GET("/api/v1/users")) });
  return (
    <Part title="Users" error={error} isPending={isPending}>
      {!isPending && !error && users.length === 0 && (
        <p className="quiet">
          None yet. <code>headway users add NAME</code> adds one.
        </p>
      )}
      {users.length > 0 && (
        <div className="table" tabIndex={0}>
          <table className="plain">
            <thead>
              <tr>
                {["User", "Kind", "Roles", "Since"].map((word) => (
                  <th key={word} scope="col">
                    {word}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {users.map((user) => (
                <tr key={user.name}>
                  <td>
                    <bdi>{user.name}</bdi>
                  </td>
                  <td>{[user.service ? "service account" : user.admin ? "administrator" : "user", user.disabled && "disabled"].filter(Boolean).join(", ")}</td>
                  <td>
                    {Object.entries(user.roles)
                      .map(([project, role]) => `${role} of ${project}`)
                      .join(", ")}
                  </td>
                  <td>
                    <Age at={user.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Part>
  );
}

const ENTRIES = 50;

function Audit() {
  const { data: entries = [], error, isPending } = useQuery({
    queryKey: ["audit"],
    queryFn: () => data(api.GET("/api/v1/audit", { params: { query: { limit: ENTRIES } } })),
  });
  return (
    <Part title="Audit" error={error} isPending={isPending}>
      {entries.length > 0 && (
        <div className="table" tabIndex={0}>
          <table className="plain">
            <thead>
              <tr>
                {["When", "Who", "What", "To what", "Outcome", "From"].map((word) => (
                  <th key={word} scope="col">
                    {word}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {entries.map((entry) => (
                <tr key={entry.id}>
                  <td>
                    <Age at={entry.at} />
                  </td>
                  <td>{entry.user || entry.credential || "owner"}</td>
                  <td title={entry.detail}>{entry.action}</td>
                  <td>
                    <bdi>{entry.subject}</bdi>
                  </td>
                  <td>{entry.outcome}</td>
                  <td>{entry.address}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Part>
  );
}
