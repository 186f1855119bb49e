import { useRef } from "react";
import { screensFor } from "../screens.ts";
import { useSession } from "../session/session.ts";
import { IconButton, Kbd } from "./parts.tsx";

const ID = "shortcuts";

interface Group {
  title: string;
  keys: [string[], string][];
}

const GROUPS: Group[] = [
  {
    title: "Lists",
    keys: [
      [["j"], "next row"],
      [["k"], "previous row"],
      [["Enter"], "open the row"],
      [["Esc"], "close what is open"],
      [["/"], "to the filter"],
      [["]"], "older page"],
      [["["], "newer page"],
    ],
  },
  {
    title: "Everywhere",
    keys: [
      [["Space"], "pause or resume Live"],
      [["t"], "light or dark"],
      [["?"], "this list"],
    ],
  },
];

export function openShortcuts(): void {
  const dialog = document.getElementById(ID);
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

export function Shortcuts() {
  const dialog = useRef<HTMLDialogElement>(null);
  const screens = screensFor(useSession());
  const goTo: Group = { title: "Go to", keys: screens.map(({ key, name }) => [["g", key], name]) };
  return (
    <dialog id={ID} ref={dialog} aria-labelledby="shortcuts-title">
      <header className="panel-head">
        <h2 id="shortcuts-title">Keyboard</h2>
        <IconButton icon="close" label="Close" onClick={() => dialog.current?.close()} />
      </header>
      <div className="shortcut-groups">
        {[goTo, ...GROUPS].map(({ title, keys }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl className="shortcut-list">
              {keys.map(([pressed, meaning]) => (
                <div key={meaning}>
                  <dt>
                    {pressed.map((key) => (
                      <Kbd key={key}>{key}</Kbd>
                    ))}
                  </dt>
                  <dd>{meaning}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </dialog>
  );
}
