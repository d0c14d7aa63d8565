import { Button, TextField } from "@mui/material";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, data, type Schemas } from "../api/client";
import { setRefused } from "../api/session";
import { Failed } from "../components/States";

/** Logging in: by a link of the command line, by password, by an invitation, or with a token. */
export function LoginPage() {
  const invitation = new URLSearchParams(location.search).get("invitation");
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [token, setToken] = useState("");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const logIn = useMutation({
    mutationFn: (proof: Partial<Schemas["NewSession"]>) =>
      data(api.POST("/api/v1/session", { body: proof as Schemas["NewSession"] })),
    onSuccess: () => {
      setRefused(false);
      if (location.pathname === "/login") void navigate({ to: "/jobs", replace: true });
      void queries.invalidateQueries();
    },
  });
  function submit(event: FormEvent): void {
    event.preventDefault();
    if (invitation) logIn.mutate({ invitation, password });
    else logIn.mutate(token ? { token: token.trim() } : { user, password });
  }
  const secret = (label: string, value: string, set: (value: string) => void, autoComplete: string) => (
    <TextField label={label} type="password" autoComplete={autoComplete} value={value} onChange={(event) => set(event.target.value)} />
  );
  const complete = invitation ? password !== "" : token !== "" || (user !== "" && password !== "");
  return (
    <main className="login">
      <h1>{invitation ? "Choose your password for Headway" : "Log in to Headway"}</h1>
      <form onSubmit={submit} className="stack" style={{ gap: 14 }}>
        {invitation ? (
          secret("New password", password, setPassword, "new-password")
        ) : (
          <>
            <TextField label="User" autoComplete="username" value={user} onChange={(event) => setUser(event.target.value)} />
            {secret("Password", password, setPassword, "current-password")}
            {secret("Or paste a token", token, setToken, "off")}
          </>
        )}
        <Button type="submit" variant="contained" disabled={!complete || logIn.isPending}>
          Log in
        </Button>
      </form>
      {logIn.error && <Failed error={logIn.error} />}
      {!invitation && (
        <p className="quiet">
          Where you use the command line, <code>headway link</code> prints a link that logs this browser in.
        </p>
      )}
    </main>
  );
}
