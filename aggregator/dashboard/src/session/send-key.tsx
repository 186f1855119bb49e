import { createContext, type ReactNode, useContext, useState } from "react";
import { isSignedIn, useSession } from "./session.ts";

type Held = [key: string | null, hold: (key: string | null) => void];

export const HeldKey = createContext<Held>([null, () => {}]);

/** Holds the key that this page sends events with: in memory, so as long as the page and the tenant. */
export function SendKey({ children }: { children: ReactNode }) {
  return <HeldKey value={useState<string | null>(null)}>{children}</HeldKey>;
}

/** The key to send events with; `null` where there is none yet, `undefined` where none is asked for. */
export function useSendKey(): string | null | undefined {
  const [key] = useContext(HeldKey);
  return isSignedIn(useSession()) ? key : undefined;
}

/** What a request to ingest carries. */
export function bearer(key: string | null | undefined): Record<string, string> {
  return key ? { authorization: `Bearer ${key}` } : {};
}
