import { type ReactNode, type Ref, useState } from "react";
import { ApiError } from "../api/client.ts";
import { inWords } from "../lib/refusal.ts";
import { Icon, type IconName } from "./icons.tsx";

interface PanelProps {
  title?: ReactNode;
  note?: ReactNode;
  actions?: ReactNode;
  className?: string;
  children: ReactNode;
}

export function Panel({ title, note, actions, className = "", children }: PanelProps) {
  return (
    <section className={`panel ${className}`}>
      {(title !== undefined || actions !== undefined) && (
        <header className="panel-head">
          <div>
            {title !== undefined && <h2>{title}</h2>}
            {note !== undefined && <p className="note">{note}</p>}
          </div>
          {actions}
        </header>
      )}
      {children}
    </section>
  );
}

interface TileProps {
  label: string;
  value: ReactNode;
  note?: ReactNode;
  tone?: "good" | "warn" | "bad";
  children?: ReactNode;
}

/** One figure that can be read from across the room. */
export function Tile({ label, value, note, tone, children }: TileProps) {
  return (
    <section className={`panel tile ${tone ?? ""}`} aria-label={label}>
      <h2 className="tile-label">{label}</h2>
      <p className="tile-value">{value}</p>
      {note !== undefined && <p className="note">{note}</p>}
      {children}
    </section>
  );
}

interface SegmentsProps<T extends string> {
  label: string;
  options: readonly { value: T; text: string }[];
  value: T;
  onChange: (value: T) => void;
}

/** One of a few, all in sight. */
export function Segments<T extends string>({ label, options, value, onChange }: SegmentsProps<T>) {
  return (
    <fieldset className="segments">
      <legend className="unseen">{label}</legend>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
        </button>
      ))}
    </fieldset>
  );
}

interface NoticeProps {
  tone?: "good" | "warn" | "bad" | "plain";
  children: ReactNode;
  action?: ReactNode;
}

export function Notice({ tone = "plain", children, action }: NoticeProps) {
  return (
    <div className={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <div>{children}</div>
      {action}
    </div>
  );
}

/** Says what went wrong and whether somebody is already trying again. */
export function Failure({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const retries = error instanceof ApiError && error.retryable;
  return (
    <Notice
      tone="bad"
      action={
        onRetry && (
          <button type="button" className="button" onClick={onRetry}>
            Try again
          </button>
        )
      }
    >
      <strong>{inWords(error)}</strong>
      {retries && !onRetry && " Trying again by itself."}
    </Notice>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** Holds the place of what is still being read, in about its size. */
export function Loading({ lines = 4 }: { lines?: number }) {
  return (
    <div className="loading" role="status">
      <span className="unseen">Loading</span>
      {Array.from({ length: lines }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: placeholders are all alike
        <span key={line} className="loading-line" />
      ))}
    </div>
  );
}

interface IconButtonProps {
  icon: IconName;
  label: string;
  onClick: () => void;
  disabled?: boolean;
}

export function IconButton({ icon, label, onClick, disabled }: IconButtonProps) {
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      onClick={onClick}
      disabled={disabled}
    >
      <Icon name={icon} />
    </button>
  );
}

const SHOWN_MS = 1_500;

/** Copies a text and says so. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <button type="button" className="button quiet" onClick={() => void copy()}>
      <Icon name={isCopied ? "done" : "copy"} size={15} />
      <span aria-live="polite">{isCopied ? "Copied" : label}</span>
    </button>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd>{children}</kbd>;
}

interface ScrollProps {
  label: string;
  className?: string;
  onScroll?: () => void;
  ref?: Ref<HTMLElement>;
  children: ReactNode;
}

/** What scrolls by itself: it can be reached, and so scrolled, by keyboard. */
export function Scroll({ label, className, onScroll, ref, children }: ScrollProps) {
  return (
    <section
      ref={ref}
      className={className}
      aria-label={label}
      onScroll={onScroll}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: scrolling is the interaction
      tabIndex={0}
    >
      {children}
    </section>
  );
}

/** Code to read and copy. */
export function Code({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Scroll label={label} className="code">
      <pre>{children}</pre>
    </Scroll>
  );
}

/** An event type with the colour it has everywhere. */
export function TypeName({ type, colour }: { type: string; colour: string }) {
  return (
    <span className="type-name">
      <span className="swatch" style={{ background: colour }} />
      <span className="ellipsis">{type === "__other__" ? "other types" : type}</span>
    </span>
  );
}
