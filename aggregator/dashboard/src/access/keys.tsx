import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ago, count, time } from "../lib/format.ts";
import { useNow } from "../lib/now.ts";
import { may, useSession } from "../session/session.ts";
import { Confirm } from "../ui/dialog.tsx";
import { Empty, Failure, Loading, Panel, Scroll, Segments } from "../ui/parts.tsx";
import { type Key, keysQuery, revokeKey } from "./access.ts";
import { MakeKey, RotateKey } from "./key-dialogs.tsx";
import { inOrder, inWords, limitsInWords, stateOf } from "./state.ts";

/** As many as somebody looks through; there may be 10,000. */
const SHOWN_KEYS = 200;

const WHOSE = [
  { value: "tenant", text: "This tenant's" },
  { value: "operators", text: "Operators'" },
  { value: "all", text: "All" },
] as const;
type Whose = (typeof WHOSE)[number]["value"];

type Open = { kind: "make" } | { kind: "rotate" | "revoke"; of: Key };

/** Keys without their texts: makes, rotates and revokes them. */
export function Keys() {
  const { role, tenant } = useSession();
  const { data, error } = useQuery(keysQuery);
  const now = useNow(5_000);
  const [whose, setWhose] = useState<Whose>("tenant");
  const [open, setOpen] = useState<Open | null>(null);
  const isOperator = may(role, "operator");
  const all = data?.items.filter((key) => isOf(key, whose, tenant.id)) ?? [];
  const keys = inOrder(all, now).slice(0, SHOWN_KEYS);
  const close = () => setOpen(null);
  return (
    <Panel
      title="Keys"
      note="A key's text is shown once, when it is made; a change is in force within seconds"
      actions={
        <div className="head-end">
          {isOperator && (
            <Segments label="Whose keys" options={WHOSE} value={whose} onChange={setWhose} />
          )}
          <button
            type="button"
            className="button primary"
            onClick={() => setOpen({ kind: "make" })}
          >
            Make a key
          </button>
        </div>
      }
    >
      {error && <Failure error={error} />}
      {!data && !error && <Loading />}
      {data && keys.length === 0 && <Empty title="There is no key" />}
      {keys.length > 0 && <KeyTable keys={keys} now={now} onOpen={setOpen} />}
      {all.length > keys.length && (
        <p className="note after">
          The first {count(keys.length)} of {count(all.length)}: ended ones come last.
        </p>
      )}
      {open?.kind === "make" && <MakeKey onClose={close} />}
      {open?.kind === "rotate" && <RotateKey old={open.of} onClose={close} />}
      {open?.kind === "revoke" && (
        <Confirm
          title={`Revoke ${open.of.name}`}
          verb="Revoke the key"
          run={() => revokeKey(open.of.id)}
          changes={keysQuery.queryKey}
          onClose={close}
        >
          Whoever sends or reads with it is refused within two seconds, and never let in with it
          again. To exchange it without a gap, rotate it.
        </Confirm>
      )}
    </Panel>
  );
}

function isOf(key: Key, whose: Whose, tenant: string): boolean {
  if (whose === "all") return true;
  return whose === "operators" ? key.scope === "operator" : key.tenant === tenant;
}

interface KeyTableProps {
  keys: readonly Key[];
  now: number;
  onOpen: (open: Open) => void;
}

function KeyTable({ keys, now, onOpen }: KeyTableProps) {
  return (
    <Scroll className="table-scroll" label="Keys">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Of</th>
            <th scope="col">May</th>
            <th scope="col">Limits</th>
            <th scope="col">Made</th>
            <th scope="col">Last used</th>
            <th scope="col">State</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.id}>
              <th scope="row" className="ellipsis">
                {key.name} <span className="soft mono">{key.id}</span>
              </th>
              <td>{key.tenant ?? "operators"}</td>
              <td title={[...key.types, ...key.origins].join(", ")}>{mayInWords(key)}</td>
              <td>{limitsInWords(key.limits)}</td>
              <td>{time(key.createdAt, now).slice(0, -4)}</td>
              <td>{key.lastUsedAt ? ago(Date.parse(key.lastUsedAt), now) : "never"}</td>
              <td>
                <State of={key} now={now} />
              </td>
              <td className="row-actions">
                {stateOf(key, now) !== "ended" && (
                  <>
                    <RowButton
                      verb="Rotate"
                      of={key}
                      onClick={() => onOpen({ kind: "rotate", of: key })}
                    />
                    <RowButton
                      verb="Revoke"
                      of={key}
                      onClick={() => onOpen({ kind: "revoke", of: key })}
                    />
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function mayInWords({ scope, kind, types, origins }: Key): string {
  const some = (values: string[], noun: string) =>
    values.length > 0 && `${count(values.length)} ${noun}${values.length === 1 ? "" : "s"}`;
  const parts = [scope, kind === "pub" && "public", some(types, "type"), some(origins, "origin")];
  return parts.filter(Boolean).join(" · ");
}

function State({ of, now }: { of: Key; now: number }) {
  const tones = { good: "good", ending: "warn", ended: "bad" } as const;
  return <span className={`badge ${tones[stateOf(of, now)]}`}>{inWords(of, now)}</span>;
}

interface RowButtonProps {
  verb: string;
  of: { name: string };
  onClick: () => void;
}

/** One of several alike: what it is about is said to those who do not see the row. */
export function RowButton({ verb, of, onClick }: RowButtonProps) {
  return (
    <button type="button" className="button quiet" onClick={onClick}>
      {verb}
      <span className="unseen"> {of.name}</span>
    </button>
  );
}
