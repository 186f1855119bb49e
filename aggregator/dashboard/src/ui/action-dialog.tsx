import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { post } from "../api/client.ts";
import type { ActionOutcome, DeadLetterChoice } from "../api/types.ts";
import { count } from "../lib/format.ts";
import { Failure, Loading, Notice } from "./parts.tsx";

export interface Action {
  kind: "replay" | "purge";
  choice: DeadLetterChoice;
  /** The choice in words. */
  subject: string;
}

interface Words {
  title: string;
  explains: string;
  confirms: (matched: string) => string;
  done: (outcome: ActionOutcome) => string;
}

const WORDS: Record<Action["kind"], Words> = {
  replay: {
    title: "Replay dead letters",
    explains:
      "They go back on the stream. What can be stored by now is stored and counted once; what is refused again becomes a dead letter again.",
    confirms: (matched) => `Replay ${matched}`,
    done: (outcome) => `${count(outcome.replayed)} replayed, ${count(outcome.remaining)} remain.`,
  },
  purge: {
    title: "Purge dead letters",
    explains: "They are deleted for good. Who did it, when and how many is kept in an audit entry.",
    confirms: (matched) => `Delete ${matched} for good`,
    done: (outcome) => `${count(outcome.purged)} deleted, ${count(outcome.remaining)} remain.`,
  },
};

interface ActionDialogProps {
  action: Action;
  onClose: (isDone: boolean) => void;
}

/** Says what would happen before it lets it happen. */
export function ActionDialog({ action, onClose }: ActionDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const client = useQueryClient();
  const words = WORDS[action.kind];
  const run = (choice: DeadLetterChoice, dryRun: boolean) =>
    post<ActionOutcome>(`/admin/dead-letters/${action.kind}`, { ...choice, dryRun });
  const rehearsal = useMutation({ mutationFn: () => run(action.choice, true) });
  const deed = useMutation({
    mutationFn: () => run(asCounted(action.choice, rehearsal.data), false),
    onSettled: () =>
      Promise.all([
        // Not the single ones: a letter that was replayed is no longer there.
        client.invalidateQueries({ queryKey: ["dead-letters", "list"] }),
        client.invalidateQueries({ queryKey: ["pipeline"] }),
      ]),
  });
  const { mutate: rehearse } = rehearsal;
  useEffect(() => {
    dialog.current?.showModal();
    rehearse();
  }, [rehearse]);

  const matched = rehearsal.data?.matched ?? 0;
  const error = rehearsal.error ?? deed.error;
  return (
    <dialog ref={dialog} aria-labelledby="action-title" onClose={() => onClose(deed.isSuccess)}>
      <h2 id="action-title">{words.title}</h2>
      <p>{words.explains}</p>
      {rehearsal.isPending && <Loading lines={1} />}
      {rehearsal.data && !deed.isSuccess && (
        <Notice tone={matched === 0 ? "warn" : "plain"}>
          Dry run: <strong>{count(matched)}</strong> dead letters ({action.subject}).
        </Notice>
      )}
      {error && (
        <Failure error={error} onRetry={() => (rehearsal.data ? deed.mutate() : rehearse())} />
      )}
      {deed.data && <Notice tone="good">{words.done(deed.data)}</Notice>}
      <footer className="dialog-actions">
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          {deed.isSuccess ? "Close" : "Cancel"}
        </button>
        {!deed.isSuccess && (
          <button
            type="button"
            className={`button ${action.kind === "purge" ? "danger" : "primary"}`}
            disabled={matched === 0 || deed.isPending}
            onClick={() => deed.mutate()}
          >
            {deed.isPending ? "Working…" : words.confirms(count(matched))}
          </button>
        )}
      </footer>
    </dialog>
  );
}

/** Just what the dry run counted: its times are absolute, and nothing that came since is meant. */
function asCounted(choice: DeadLetterChoice, rehearsed?: ActionOutcome): DeadLetterChoice {
  if (!("filter" in choice) || !rehearsed) return choice;
  const { from, to } = rehearsed;
  return { filter: { ...choice.filter, from: from ?? undefined, to: to ?? undefined } };
}
