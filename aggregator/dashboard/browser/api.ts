import { inject } from "vitest";
import { uuidv7 } from "../src/lib/uuid.ts";

export const system = inject("system");

/** Sends events and expects all of them to be accepted. */
export async function send(events: Record<string, unknown>[]): Promise<void> {
  const body = JSON.stringify(events.map((event) => ({ eventId: uuidv7(), ...event })));
  const response = await fetch(`${system.ingestUrl}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const answer = (await response.json()) as { accepted: number };
  if (response.status !== 202 || answer.accepted !== events.length) {
    throw new Error(`ingest answered ${response.status}: ${JSON.stringify(answer)}`);
  }
}

export async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${system.aggregatorUrl}${path}`);
  return (await response.json()) as T;
}

const WITHIN_MS = 60_000;
const POLL_MS = 100;

/** Asks until the answer is as it has to be. */
export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + WITHIN_MS;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > deadline) {
      throw new Error(`${what} did not happen; the last answer: ${JSON.stringify(answer)}`);
    }
    await new Promise((fulfil) => setTimeout(fulfil, POLL_MS));
  }
}
