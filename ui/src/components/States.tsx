import type { ReactNode } from "react";
import { Problem, sentenceOf } from "../api/problem";

/** Nothing is here yet: what to do next. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** What went wrong, in the API's own sentence, and what to do. */
export function Failed({ error }: { error: unknown }) {
  if (error instanceof Problem && error.status === 404) return <Gone sentence={error.message} />;
  if (error instanceof Problem && error.status === 403) return <Forbidden sentence={error.message} />;
  return (
    <div className="notice bad" role="alert">
      {sentenceOf(error)}
      {error instanceof Problem && error.fields && error.fields.length > 1 && (
        <ul>
          {error.fields.map((field) => (
            <li key={field.at}>
              <code>{field.at}</code>: {field.message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function Forbidden({ sentence }: { sentence: string }) {
  return (
    <div className="notice warn" role="alert">
      {sentence} <span className="quiet">An administrator of this server can grant it: headway users role.</span>
    </div>
  );
}

export function Gone({ sentence }: { sentence: string }) {
  return (
    <Empty title="Not here">
      <p className="quiet">{sentence}</p>
      <a href="/jobs">All jobs</a>
    </Empty>
  );
}

/** A view could not be shown; its frame stays. */
export function Broken({ error }: { error: unknown }) {
  return (
    <div className="page">
      <div className="notice bad" role="alert">
        This view could not be shown: {error instanceof Error ? error.message : String(error)}
      </div>
      <a href={location.href}>Load it again</a>
    </div>
  );
}

/** Something is loading. What was shown before stays below it. */
export function Loading({ what }: { what: string }) {
  return (
    <div role="status" aria-label={`Loading ${what}`} style={{ overflow: "hidden" }}>
      <div className="wait" />
    </div>
  );
}
