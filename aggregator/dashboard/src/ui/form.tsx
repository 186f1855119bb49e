import {
  type ComponentProps,
  createContext,
  type FormEvent,
  type ReactNode,
  useContext,
  useEffect,
  useId,
  useRef,
} from "react";
import { ApiError } from "../api/client.ts";
import { inWords } from "../lib/refusal.ts";
import { Failure } from "./parts.tsx";

/** What somebody entered. */
export interface Entered {
  text: (name: string) => string;
  /** What was entered as lines or between commas. */
  list: (name: string) => string[];
  /** `undefined` where nothing was entered. */
  number: (name: string) => number | undefined;
}

interface FormProps {
  label: string;
  error: Error | null;
  /** Names of the fields, as the aggregator calls them when one is to blame. */
  fields: readonly string[];
  onSubmit: (entered: Entered) => void;
  children: ReactNode;
}

const Blamed = createContext<{ name: string; words: string } | null>(null);

/** Asks for something; what the aggregator blames on a field is said at the field. */
export function Form({ label, error, fields, onSubmit, children }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  const named = error instanceof ApiError ? error.problem.parameter : null;
  const blamed = fields.find((name) => name === named);
  useEffect(() => {
    if (error) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [error]);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onSubmit(enteredIn(new FormData(event.currentTarget)));
  };
  return (
    <form ref={form} className="form" aria-label={label} onSubmit={submit}>
      <Blamed value={blamed && error ? { name: blamed, words: inWords(error) } : null}>
        {children}
      </Blamed>
      {error && !blamed && <Failure error={error} />}
    </form>
  );
}

function enteredIn(data: FormData): Entered {
  const text = (name: string) => String(data.get(name) ?? "").trim();
  return {
    text,
    list: (name) =>
      text(name)
        .split(/[\s,]+/)
        .filter((each) => each !== ""),
    number: (name) => (text(name) === "" ? undefined : Number(text(name))),
  };
}

interface Described {
  name: string;
  label: string;
  hint?: ReactNode;
}

/** One line of text. */
export function Field({ label, hint, ...input }: Described & ComponentProps<"input">) {
  return (
    <Labelled name={input.name} label={label} hint={hint}>
      {(described) => <input className="field" {...described} {...input} />}
    </Labelled>
  );
}

/** Several lines of text. */
export function Lines({ label, hint, ...input }: Described & ComponentProps<"textarea">) {
  return (
    <Labelled name={input.name} label={label} hint={hint}>
      {(described) => <textarea className="field" rows={2} {...described} {...input} />}
    </Labelled>
  );
}

/** One of a few. */
export function Choice({ label, hint, ...input }: Described & ComponentProps<"select">) {
  return (
    <Labelled name={input.name} label={label} hint={hint}>
      {(described) => <select className="field" {...described} {...input} />}
    </Labelled>
  );
}

interface Labels {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": boolean;
}

function Labelled(props: Described & { children: (labels: Labels) => ReactNode }) {
  const { name, label, hint, children } = props;
  const id = useId();
  const fault = useFault(name);
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ");
  return (
    <div className="labelled">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        "aria-describedby": described === "" ? undefined : described,
        "aria-invalid": fault !== null,
      })}
      {hint && (
        <p className="note" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <Fault name={name} id={`${id}-fault`} />
    </div>
  );
}

/** What the aggregator blames on `name`; `Field`, `Lines` and `Choice` say it by themselves. */
export function Fault({ name, id }: { name: string; id?: string }) {
  const fault = useFault(name);
  if (!fault) return null;
  return (
    <p className="fault" id={id} role="alert">
      {fault}
    </p>
  );
}

function useFault(name: string): string | null {
  const blamed = useContext(Blamed);
  return blamed?.name === name ? blamed.words : null;
}
