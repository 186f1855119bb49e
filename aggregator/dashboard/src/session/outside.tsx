import type { ReactNode } from "react";

/** The frame of what is shown to somebody who is not let in yet. */
export function Outside({ children }: { children: ReactNode }) {
  return (
    <main className="outside">
      <div className="panel">
        <p className="brand">
          <img src="/favicon.svg" alt="" width="24" height="24" />
          <span>EVP</span>
        </p>
        {children}
      </div>
    </main>
  );
}
