import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { pipelineQuery } from "../api/queries.ts";
import { health } from "../lib/health.ts";
import { useNow } from "../lib/now.ts";

/** The state of the whole pipeline in a few words, on every screen. */
export function HealthPill() {
  const { data, error } = useQuery(pipelineQuery);
  const now = useNow(1_000);
  const { tone, text, detail } = health(data, error, now);
  return (
    <Link href="/pipeline" className={`pill ${tone}`} title={detail}>
      <span className="dot" />
      <span className="pill-text">{text}</span>
    </Link>
  );
}
