import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "../api/client.ts";
import { may, useSession } from "../session/session.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Choice, type Entered, Fault, Field, Form, Lines } from "../ui/form.tsx";
import { Code, CopyButton, Notice } from "../ui/parts.tsx";
import {
  type Key,
  type KeyMade,
  keysQuery,
  makeKey,
  type NewKey,
  rotateKey,
  SCOPES,
  type Scope,
} from "./access.ts";
import { LimitFields, readLimits } from "./limits.tsx";

const DAY_S = 86_400;

/** Asks what a key is for, makes it, and shows it this once. */
export function MakeKey({ onClose }: { onClose: () => void }) {
  const making = useMaking(makeKey);
  return (
    <Dialog title={making.data ? "The new key" : "Make a key"} onClose={onClose}>
      {(close) =>
        making.data ? (
          <Made made={making.data} close={close} />
        ) : (
          <KeyForm
            error={making.error}
            isPending={making.isPending}
            onSubmit={making.mutate}
            close={close}
          />
        )
      }
    </Dialog>
  );
}

interface KeyFormProps {
  error: Error | null;
  isPending: boolean;
  onSubmit: (key: NewKey) => void;
  close: () => void;
}

function KeyForm({ error, isPending, onSubmit, close }: KeyFormProps) {
  const { role, tenant } = useSession();
  const [scope, setScope] = useState<Scope>("write");
  const scopes = SCOPES.filter((each) => each !== "operator" || may(role, "operator"));
  const submit = (entered: Entered) => onSubmit(newKey(entered, scope, tenant.id));
  return (
    <Form
      label="Make a key"
      error={error}
      fields={["name", "scope", "public", "types", "origins", "limits", "expiresInSeconds"]}
      onSubmit={submit}
    >
      <Field
        name="name"
        label="Name"
        hint="What people call it"
        maxLength={100}
        autoFocus
        required
      />
      <Choice
        name="scope"
        label="What it may do"
        value={scope}
        onChange={(event) => setScope(event.currentTarget.value as Scope)}
        hint={`Of ${scope === "operator" ? "all tenants" : tenant.name}`}
      >
        {scopes.map((each) => (
          <option key={each} value={each}>
            {each}: {MAY[each]}
          </option>
        ))}
      </Choice>
      {scope === "write" && <WriteFields />}
      <Field
        name="expiresInSeconds"
        label="Ends after, in days"
        hint="Empty: it does not end by itself"
        type="number"
        min={1}
      />
      <NotInForce error={error} />
      <footer className="dialog-actions">
        <button type="button" className="button" onClick={close}>
          Cancel
        </button>
        <button type="submit" className="button primary" disabled={isPending}>
          Make the key
        </button>
      </footer>
    </Form>
  );
}

const MAY: Record<Scope, string> = {
  write: "send events",
  read: "see what was sent",
  admin: "see it, and act on dead letters, keys and members",
  operator: "see and mend the whole system",
};

/** What only makes sense of a key that sends. */
function WriteFields() {
  return (
    <>
      <label className="tick-label">
        <input type="checkbox" name="public" />
        Public: it may stand in a web page, where everybody can read it
      </label>
      <Fault name="public" />
      <Lines
        name="origins"
        label="Origins whose pages may use it"
        hint="As https://app.example, at most 20. Empty: those of ingest.cors.origins"
      />
      <Lines
        name="types"
        label="Types of events it may send"
        hint="At most 100. Empty: all types"
      />
      <LimitFields />
    </>
  );
}

/** The body that makes a key out of what was entered. */
export function newKey(entered: Entered, scope: Scope, tenant: string): NewKey {
  const days = entered.number("expiresInSeconds");
  const key: NewKey = { name: entered.text("name"), scope };
  if (scope !== "operator") key.tenant = tenant;
  if (days !== undefined) key.expiresInSeconds = days * DAY_S;
  if (scope !== "write") return key;
  return {
    ...key,
    public: entered.text("public") !== "",
    origins: entered.list("origins"),
    types: entered.list("types"),
    limits: readLimits(entered),
  };
}

const OVERLAPS = [
  { seconds: 0, text: "none: it is refused at once" },
  { seconds: 3_600, text: "an hour" },
  { seconds: DAY_S, text: "a day" },
  { seconds: 7 * DAY_S, text: "a week" },
  { seconds: 30 * DAY_S, text: "30 days" },
];

/** Makes a key like an old one, which ends after an overlap. */
export function RotateKey({ old, onClose }: { old: Key; onClose: () => void }) {
  const making = useMaking((overlapSeconds: number) => rotateKey(old.id, overlapSeconds));
  return (
    <Dialog title={making.data ? "The new key" : `Rotate ${old.name}`} onClose={onClose}>
      {(close) =>
        making.data ? (
          <Made made={making.data} close={close} />
        ) : (
          <Form
            label={`Rotate ${old.name}`}
            error={making.error}
            fields={["overlapSeconds"]}
            onSubmit={(entered) => making.mutate(Number(entered.text("overlapSeconds")))}
          >
            <p>
              The new key may do what the old one may. Both are good for the overlap, in which you
              put the new one where the old one is.
            </p>
            <Choice name="overlapSeconds" label="Overlap" defaultValue={DAY_S}>
              {OVERLAPS.map(({ seconds, text }) => (
                <option key={seconds} value={seconds}>
                  {text}
                </option>
              ))}
            </Choice>
            <NotInForce error={making.error} />
            <footer className="dialog-actions">
              <button type="button" className="button" onClick={close}>
                Cancel
              </button>
              <button type="submit" className="button primary" disabled={making.isPending}>
                Rotate the key
              </button>
            </footer>
          </Form>
        )
      }
    </Dialog>
  );
}

function useMaking<T>(make: (of: T) => Promise<KeyMade>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: make,
    // Its text is not kept beyond the dialog that shows it.
    gcTime: 0,
    onSettled: () => client.invalidateQueries({ queryKey: keysQuery.queryKey }),
  });
}

function Made({ made, close }: { made: KeyMade; close: () => void }) {
  return (
    <>
      <Notice tone="warn">
        <strong>Copy it now.</strong> It is shown this once, and kept nowhere.
      </Notice>
      <div className="snippet">
        <Code label="Its text">{made.key}</Code>
        <CopyButton text={made.key} label="Copy the key" />
      </div>
      <footer className="dialog-actions">
        <button type="button" className="button primary" onClick={close}>
          I have copied it
        </button>
      </footer>
    </>
  );
}

/** A key may have been made whose text nobody has seen. */
function NotInForce({ error }: { error: Error | null }) {
  if (!(error instanceof ApiError && error.code === "not_in_force")) return null;
  return (
    <Notice tone="warn">
      The new key is in the list, but its text is lost: revoke it, and make another one.
    </Notice>
  );
}
