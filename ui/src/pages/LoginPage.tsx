import { Button, TextField } from "@mui/material";
import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api } from "../api/client";
import { sentenceOf } from "../api/problem";
import { keepToken } from "../api/session";

/** Logging in: by a link from the command line, or with a token. */
export function LoginPage() {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const queries = useQueryClient();
  async function logIn(event: FormEvent): Promise<void> {
    event.preventDefault();
    keepToken(token.trim());
    try {
      await api.GET("/api/v1/account");
      await queries.invalidateQueries();
    } catch (problem) {
      setError(sentenceOf(problem));
      sessionStorage.clear();
    }
  }
  return (
    <main className="login">
      <h1>Log in to Headway</h1>
      <p>
        Run <code>headway link</code> on a machine where you use the command line, and open the link that it prints.
      </p>
      <form onSubmit={(event) => void logIn(event)} style={{ display: "flex", flexDirection: "column", gap: 10 }}>
        <TextField
          label="Or paste a token"
          type="password"
          autoComplete="off"
          value={token}
          onChange={(event) => setToken(event.target.value)}
          helperText="This tab forgets it when it is closed."
        />
        <Button type="submit" variant="contained" disabled={token.trim() === ""}>
          Log in
        </Button>
      </form>
      {error !== null && (
        <div className="notice bad" role="alert">
          {error}
        </div>
      )}
    </main>
  );
}
