import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useId, useRef } from "react";
import { Failure } from "./parts.tsx";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: (close: () => void) => ReactNode;
}

/** Asks or tells something before anything else goes on. Closing gives the focus back. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children(() => dialog.current?.close())}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  /** What the button says. */
  verb: string;
  run: () => Promise<unknown>;
  /** What is read again afterwards, also where it is not known whether it was done. */
  changes: QueryKey;
  onClose: () => void;
  /** What will be then. */
  children: ReactNode;
}

/** Does something only once it was confirmed. */
export function Confirm({ title, verb, run, changes, onClose, children }: ConfirmProps) {
  const client = useQueryClient();
  const deed = useMutation({
    mutationFn: run,
    onSettled: () => client.invalidateQueries({ queryKey: changes }),
  });
  return (
    <Dialog title={title} onClose={onClose}>
      {(close) => (
        <>
          <p>{children}</p>
          {deed.error && <Failure error={deed.error} />}
          <footer className="dialog-actions">
            <button type="button" className="button" onClick={close}>
              Cancel
            </button>
            <button
              type="button"
              className="button danger"
              disabled={deed.isPending}
              onClick={() => deed.mutate(undefined, { onSuccess: close })}
            >
              {deed.isPending ? "Working…" : verb}
            </button>
          </footer>
        </>
      )}
    </Dialog>
  );
}
