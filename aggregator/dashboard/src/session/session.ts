import { type QueryClient, queryOptions } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { ApiError, get, post, send } from "../api/client.ts";

export const ROLES = ["viewer", "admin", "operator"] as const;
export type Role = (typeof ROLES)[number];

/** `GET /session`: who asks, and for which tenant. */
export interface Session {
  /** How they came in; `open` where nobody has to say who they are. */
  via: "open" | "key" | "link" | "code";
  email?: string;
  tenant: { id: string; name: string };
  role: Role;
  tenants: { id: string; name: string; role: Role }[];
  idleExpiresAt?: string;
  expiresAt?: string;
}

/** `GET /sign-in` */
export interface SignInMethods {
  mode: "open" | "keys";
  methods: ("key" | "link" | "code")[];
}

/** What there is where nobody has to say who they are. */
export const OPEN: Session = {
  via: "open",
  tenant: { id: "default", name: "default" },
  role: "operator",
  tenants: [],
};

export const SessionContext = createContext<Session>(OPEN);

export function useSession(): Session {
  return useContext(SessionContext);
}

/** Whether somebody signed in: in open mode nobody has to, and nothing of it is shown. */
export function isSignedIn({ via }: Session): boolean {
  return via !== "open";
}

/** Whether somebody of `role` may do what takes `needed`: each role may do what those before it may. */
export function may(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

const SESSION = ["session"];
const SIGN_IN = ["sign-in"];

export const sessionQuery = queryOptions({
  queryKey: SESSION,
  queryFn: async ({ client, signal }) => {
    const session = await get<Session>("/session", {}, signal);
    forgetIfOther(client, session);
    return session;
  },
});

export const signInQuery = queryOptions({
  queryKey: SIGN_IN,
  queryFn: ({ signal }) => get<SignInMethods>("/sign-in", {}, signal),
});

export const signInByKey = (key: string) => post<Session>("/sign-in/key", { key });
export const signInByLink = (token: string) => post<Session>("/sign-in/link", { token });
export const askForCode = (email: string) =>
  post<{ expiresInSeconds: number }>("/sign-in/code", { email });
export const signInByCode = (code: string) => post<Session>("/sign-in/code/confirm", { code });
export const changeTenant = (tenant: string) => post<Session>("/session/tenant", { tenant });

/** Ends the session. One that has ended by itself, or in another tab, is as good. */
export async function leave(client: QueryClient): Promise<void> {
  await send<void>("DELETE", "/session", undefined).catch((error: unknown) => {
    const isGone =
      error instanceof ApiError && (error.status === 401 || error.code === "no_session");
    if (!isGone) throw error;
  });
  forget(client);
  tellOthers();
  await client.resetQueries({ queryKey: SESSION });
}

/** Goes on as `session`, in this tab and, once they have asked, in the others of this browser. */
export async function enter(client: QueryClient, session: Session): Promise<void> {
  // An answer of before, that is still under way, must not come in last.
  await client.cancelQueries({ queryKey: SESSION });
  forgetIfOther(client, session);
  client.setQueryData(SESSION, session);
  tellOthers();
}

/** Looks again who asks; once, however many want to know. */
export function lookAgain(client: QueryClient): void {
  void client.invalidateQueries({ queryKey: SESSION }, { cancelRefetch: false });
}

/** No figure of one tenant is shown to whoever is of another: all answers are thrown away. */
function forgetIfOther(client: QueryClient, session: Session): void {
  const before = client.getQueryData<Session>(SESSION);
  if (before && identity(before) !== identity(session)) forget(client);
}

/** Throws away all answers but those about signing in; what is under way is not kept either. */
export function forget(client: QueryClient): void {
  const kept: unknown[] = [SESSION[0], SIGN_IN[0]];
  client.removeQueries({ predicate: ({ queryKey }) => !kept.includes(queryKey[0]) });
}

/** Who asks, for which tenant, and as what. */
export function identity({ via, email, tenant, role }: Session): string {
  return JSON.stringify([via, email, tenant.id, role]);
}

// Tabs share the cookie, and so the session and its tenant.
const others = new BroadcastChannel("evp-session");

function tellOthers(): void {
  others.postMessage("changed");
}

/** Calls `changed` when another tab signed in, out, or changed the tenant. */
export function whenOthersTell(changed: () => void): () => void {
  others.addEventListener("message", changed);
  return () => others.removeEventListener("message", changed);
}
