import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "wouter";
import { deadLettersQuery } from "../api/queries.ts";
import type { DeadLetter, DeadLetterChoice, DeadLetterFilter } from "../api/types.ts";
import { bytes, count, time } from "../lib/format.ts";
import { useScoped } from "../lib/scoped.ts";
import { useSelection } from "../lib/selection.ts";
import { type Action, ActionDialog } from "./action-dialog.tsx";
import { TextFilter } from "./filter-bar.tsx";
import { Letter } from "./letter.tsx";
import { Empty, Failure, Loading, Panel } from "./parts.tsx";

const NONE: ReadonlySet<string> = new Set();

/** What could never be stored: look at it, mend the cause, replay it. */
export function DeadLetters() {
  const [search, setSearch] = useSearchParams();
  const [action, setAction] = useState<Action | null>(null);
  const filter = readFilter(search);
  const [chosen, setChosen] = useScoped<ReadonlySet<string>>(filter, NONE);
  const cursor = search.get("cursor");
  const page = useQuery(deadLettersQuery(filter, cursor));
  const items = page.data?.items ?? [];
  const selection = useSelection(items, filter);

  const set = (name: string, value: string | undefined | null) =>
    setSearch((before) => {
      if (name !== "cursor") before.delete("cursor");
      if (value) before.set(name, value);
      else before.delete(name);
      return before;
    });
  const choice: DeadLetterChoice = chosen.size > 0 ? { ids: [...chosen] } : { filter };
  const subject = chosen.size > 0 ? `${count(chosen.size)} chosen` : describe(filter);
  const isNothing = items.length === 0;

  return (
    <>
      <div className={`split ${selection.opened ? "open" : ""}`}>
        <Panel
          title="Dead letters"
          note="Accepted events that MongoDB refuses. Nothing is thrown away by itself"
          actions={
            <div className="head-end">
              <button
                type="button"
                className="button"
                disabled={isNothing}
                onClick={() => setAction({ kind: "purge", choice, subject })}
              >
                Purge
              </button>
              <button
                type="button"
                className="button primary"
                disabled={isNothing}
                onClick={() => setAction({ kind: "replay", choice, subject })}
              >
                Replay {chosen.size > 0 ? count(chosen.size) : "all"}
              </button>
            </div>
          }
        >
          <search className="filters inside">
            <TextFilter
              label="Reason"
              value={filter.reason}
              onChange={(value) => set("reason", value)}
            />
            <TextFilter
              label="Type of the event"
              value={filter.type}
              onChange={(value) => set("type", value)}
            />
            <TextFilter
              label="Since"
              placeholder="since: -1h, or a time"
              value={filter.from?.toString()}
              onChange={(value) => set("from", value)}
            />
          </search>
          {page.error && <Failure error={page.error} onRetry={() => void page.refetch()} />}
          {page.isPending && <Loading />}
          {page.data && isNothing && (
            <Empty title={isEmpty(filter) ? "No dead letters" : "No dead letter matches"}>
              {isEmpty(filter) && <p>Every accepted event could be stored.</p>}
            </Empty>
          )}
          {!isNothing && (
            <LetterTable
              items={items}
              active={selection.active}
              chosen={chosen}
              isOld={page.isPlaceholderData}
              onChoose={setChosen}
              onOpen={selection.open}
            />
          )}
          {(cursor || page.data?.nextCursor) && (
            <footer className="pager">
              <button
                type="button"
                className="button"
                disabled={!cursor}
                onClick={() => set("cursor", null)}
              >
                First page
              </button>
              <button
                type="button"
                className="button"
                disabled={!page.data?.nextCursor}
                onClick={() => set("cursor", page.data?.nextCursor)}
              >
                Next page
              </button>
            </footer>
          )}
        </Panel>
        {selection.opened && <Letter letter={selection.opened} onClose={selection.close} />}
      </div>
      {action && (
        <ActionDialog
          action={action}
          onClose={(isDone) => {
            setAction(null);
            if (isDone) {
              setChosen(NONE);
              selection.close();
            }
          }}
        />
      )}
    </>
  );
}

interface LetterTableProps {
  items: DeadLetter[];
  active: string | null;
  chosen: ReadonlySet<string>;
  /** They are those of the page or the filter before. */
  isOld: boolean;
  onChoose: (chosen: ReadonlySet<string>) => void;
  onOpen: (letter: DeadLetter) => void;
}

function LetterTable({ items, active, chosen, isOld, onChoose, onOpen }: LetterTableProps) {
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    onChoose(next);
  };
  const isAll = items.every(({ id }) => chosen.has(id));
  return (
    <div className="table-scroll">
      <table className="table rows">
        <thead>
          <tr>
            <th scope="col" className="tick">
              <input
                type="checkbox"
                aria-label="Choose all on this page"
                checked={isAll}
                disabled={isOld}
                onChange={() => onChoose(new Set(isAll ? [] : items.map(({ id }) => id)))}
              />
            </th>
            <th scope="col">Since</th>
            <th scope="col">Reason</th>
            <th scope="col">Type</th>
            <th scope="col" className="wide-only">
              Message
            </th>
            <th scope="col" className="number wide-only">
              Size
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((letter) => (
            <tr
              key={letter.id}
              className={active === letter.id ? "active" : undefined}
              onClick={() => onOpen(letter)}
            >
              {/* biome-ignore lint/a11y/useKeyWithClickEvents: only keeps the click from the row */}
              <td className="tick" onClick={(event) => event.stopPropagation()}>
                <input
                  type="checkbox"
                  aria-label={`Choose the dead letter of ${time(letter.at)}`}
                  checked={chosen.has(letter.id)}
                  disabled={isOld}
                  onChange={() => toggle(letter.id)}
                />
              </td>
              <td>
                <button type="button" className="row-button">
                  {time(letter.at)}
                </button>
              </td>
              <td>
                <span className="badge bad">{letter.reason}</span>
                {letter.replayedAt !== null && <span className="badge">replaying</span>}
              </td>
              <td className="ellipsis">{letter.eventType ?? "unknown"}</td>
              <td className="ellipsis soft wide-only data">{letter.message ?? ""}</td>
              <td className="number wide-only">{bytes(letter.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function readFilter(search: URLSearchParams): DeadLetterFilter {
  const filter: DeadLetterFilter = {};
  for (const name of ["reason", "type", "from", "to"] as const) {
    const value = search.get(name);
    if (value) filter[name] = value;
  }
  return filter;
}

function isEmpty(filter: DeadLetterFilter): boolean {
  return Object.keys(filter).length === 0;
}

function describe(filter: DeadLetterFilter): string {
  return isEmpty(filter) ? "all of them" : "all that match the filter";
}
