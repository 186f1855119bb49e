import { useQuery } from "@tanstack/react-query";
import { type ReactNode, type Ref, useEffect, useId, useRef, useState } from "react";
import { totalsQuery } from "../api/queries.ts";
import { OTHER_TYPES } from "../api/types.ts";
import { useColours } from "../lib/colours.ts";
import { type EventFilters, isFiltered } from "../lib/filters.ts";
import { useKeys } from "../lib/keys.ts";
import { Icon } from "./icons.tsx";

interface FilterBarProps {
  filters: EventFilters;
  onChange: (filters: EventFilters) => void;
  withSession?: boolean;
  children?: ReactNode;
}

/** Narrows a list of events; what is typed counts when Enter is pressed or the field is left. */
export function FilterBar({ filters, onChange, withSession = false, children }: FilterBarProps) {
  const first = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => first.current?.focus() });
  return (
    <search className="filters">
      <TypeFilter
        ref={first}
        types={filters.types}
        onChange={(types) => onChange({ ...filters, types })}
      />
      <TextFilter
        label="User"
        value={filters.userId}
        onChange={(userId) => onChange({ ...filters, userId })}
      />
      {withSession && (
        <TextFilter
          label="Session"
          value={filters.sessionId}
          onChange={(sessionId) => onChange({ ...filters, sessionId })}
        />
      )}
      {children}
      {isFiltered(filters) && (
        <button type="button" className="button quiet" onClick={() => onChange({ types: [] })}>
          Clear filters
        </button>
      )}
    </search>
  );
}

interface TypeFilterProps {
  types: string[];
  onChange: (types: string[]) => void;
  ref: Ref<HTMLInputElement>;
}

function TypeFilter({ types, onChange, ref }: TypeFilterProps) {
  const [text, setText] = useState("");
  const list = useId();
  const colourOf = useColours();
  const known = useQuery({ ...totalsQuery, refetchInterval: false, staleTime: 60_000 });
  const counted = known.data?.totals?.byType ?? [];
  // No type of its own: the API takes no filter for it.
  const names = counted.map(({ _id }) => _id).filter((name) => name !== OTHER_TYPES);
  const add = (typed: string) => {
    const added = typed.split(/[\s,]+/).filter((type) => type !== "" && !types.includes(type));
    setText("");
    if (added.length > 0) onChange([...types, ...new Set(added)]);
  };
  const changed = (typed: string, isChosen: boolean) => {
    // A name out of the list arrives whole, without a key that ends it.
    if (isChosen) add(typed);
    else setText(typed);
  };
  return (
    <div className="field type-filter">
      {types.map((type) => (
        <span key={type} className="chip">
          <span className="swatch" style={{ background: colourOf(type) }} />
          {type}
          <button
            type="button"
            aria-label={`Do not filter by type ${type}`}
            onClick={() => onChange(types.filter((each) => each !== type))}
          >
            <Icon name="close" size={12} />
          </button>
        </span>
      ))}
      <input
        ref={ref}
        aria-label="Add a type"
        placeholder={types.length === 0 ? "Type" : "and type"}
        list={list}
        value={text}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) =>
          changed(event.target.value, names.includes(event.target.value) && isPick(event))
        }
        onBlur={() => add(text)}
        onKeyDown={(event) => {
          if (event.key === "Enter") add(text);
          if (event.key === "Escape") event.currentTarget.blur();
          if (event.key === "Backspace" && text === "") onChange(types.slice(0, -1));
        }}
      />
      <datalist id={list}>
        {names
          .filter((name) => !types.includes(name))
          .slice(0, 100)
          .map((name) => (
            <option key={name} value={name} />
          ))}
      </datalist>
    </div>
  );
}

/** Choosing from a datalist is no typing: browsers give such an input event no `inputType`. */
function isPick(event: { nativeEvent: Event }): boolean {
  const { nativeEvent } = event;
  if (!(nativeEvent instanceof InputEvent)) return true;
  return !nativeEvent.inputType || nativeEvent.inputType === "insertReplacementText";
}

interface TextFilterProps {
  label: string;
  value: string | undefined;
  placeholder?: string;
  onChange: (value: string | undefined) => void;
}

export function TextFilter({ label, value, placeholder = label, onChange }: TextFilterProps) {
  const [text, setText] = useState(value ?? "");
  useEffect(() => setText(value ?? ""), [value]);
  const commit = () => {
    const trimmed = text.trim();
    if (trimmed !== (value ?? "")) onChange(trimmed === "" ? undefined : trimmed);
  };
  return (
    <input
      className="field"
      aria-label={label}
      placeholder={placeholder}
      value={text}
      autoComplete="off"
      spellCheck={false}
      onChange={(event) => setText(event.target.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Enter") commit();
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}
