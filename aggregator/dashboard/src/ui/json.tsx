import { Fragment, type ReactNode } from "react";
import { Code } from "./parts.tsx";

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Formatted JSON, coloured by what each token is. */
export function Json({ value, label }: { value: unknown; label: string }) {
  const text = JSON.stringify(value, null, 2) ?? "undefined";
  return <Code label={label}>{coloured(text)}</Code>;
}

function coloured(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    parts.push(<Fragment key={`${match.index}-`}>{text.slice(end, match.index)}</Fragment>);
    end = match.index + match[0].length;
    const [, string, colon] = match;
    const kind = string === undefined ? "json-other" : colon ? "json-name" : "json-text";
    parts.push(
      <span key={match.index} className={kind}>
        {string ?? match[0]}
      </span>,
      colon ?? "",
    );
  }
  parts.push(text.slice(end));
  return parts;
}
