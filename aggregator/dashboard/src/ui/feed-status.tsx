import { duration } from "../lib/format.ts";
import { useNow } from "../lib/now.ts";
import type { FeedState } from "../live/feed.ts";

/** Whether the live stream is connected, and when it will be again, or why not. */
export function FeedStatus({ state, retry }: { state: FeedState; retry: () => void }) {
  const now = useNow(500);
  if (state.phase === "open") {
    return (
      <span className="pill good" role="status">
        <span className="dot pulsing" />
        <span>Connected</span>
      </span>
    );
  }
  if (state.phase === "waiting") {
    const rest = Math.max(0, state.retryAt - now);
    return (
      <span className="pill bad">
        <span className="dot" />
        <span role="status">Reconnecting</span>
        <span className="soft-inherit">in {duration(Math.ceil(rest / 1000) * 1000)}</span>
        <button type="button" className="link" onClick={retry}>
          now
        </button>
      </span>
    );
  }
  if (state.phase === "refused") {
    const { message } = state.error;
    return (
      <span className="pill bad" title={message}>
        <span className="dot" />
        <span className="pill-text" role="status">
          Refused: {message}
        </span>
        <button type="button" className="link" onClick={retry}>
          try again
        </button>
      </span>
    );
  }
  return (
    <span className="pill plain" role="status">
      <span className="dot" />
      <span>{state.phase === "closed" ? "Disconnected" : "Connecting"}</span>
    </span>
  );
}
