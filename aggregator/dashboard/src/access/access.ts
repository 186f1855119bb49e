import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { get, post, send } from "../api/client.ts";
import type { Role } from "../session/session.ts";

/** `GET /usage`: of the last 24 hours. */
export interface Usage {
  asOf: string;
  /** null where there is none. */
  quota?: { eventsPerDay: number; left: number } | null;
  accepted: number;
  refused: { code: string; count: number }[];
}

export interface Rate {
  perSecond: number;
  burst: number;
}

/** What passes; everything where nothing is said. */
export interface Limits {
  events?: Rate | null;
  bytes?: Rate | null;
}

export const SCOPES = ["write", "read", "admin", "operator"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Key {
  id: string;
  name: string;
  /** null for an operator's. */
  tenant?: string | null;
  scope: Scope;
  kind: "pub" | "sec";
  types: string[];
  origins: string[];
  limits: Limits;
  createdAt: string;
  expiresAt?: string | null;
  /** Lies ahead where another key replaces it. */
  revokedAt?: string | null;
  lastUsedAt?: string | null;
}

/** A key that was just made, with its text, which nobody says again. */
export interface KeyMade extends Key {
  key: string;
}

export interface NewKey {
  name: string;
  scope: Scope;
  tenant?: string;
  public?: boolean;
  types?: string[];
  origins?: string[];
  limits?: Limits;
  expiresInSeconds?: number;
}

export interface Tenant {
  id: string;
  name: string;
  state: "active" | "disabled";
  limits: Limits;
  eventsPerDay?: number | null;
  /** How many of its types are counted by name. */
  types: number;
  /** Whether its unique and top users are known. */
  analytics: boolean;
}

export interface TenantChange {
  state?: Tenant["state"];
  /** All of them: what is left out has no limit. */
  limits?: Limits;
  /** 0 takes the quota away. */
  eventsPerDay?: number;
  types?: number;
  analytics?: boolean;
}

export interface Member {
  email: string;
  /** null for an operator. */
  tenant?: string | null;
  role: Role;
  createdAt: string;
  lastSignInAt?: string | null;
}

export interface AuditEntry {
  id: string;
  at: string;
  who: string;
  from: string;
  tenant?: string | null;
  action: string;
  detail: Record<string, unknown>;
  /** `started`: no end of it is known. */
  outcome: "started" | "done" | "incomplete" | "failed";
  endedAt?: string | null;
}

export interface AuditPage {
  entries: AuditEntry[];
  nextCursor?: string | null;
}

const USAGE_EVERY_MS = 5_000;
const KEYS_EVERY_MS = 15_000;

export const usageQuery = queryOptions({
  queryKey: ["usage"],
  queryFn: ({ signal }) => get<Usage>("/usage", {}, signal),
  refetchInterval: USAGE_EVERY_MS,
});

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: ({ signal }) => get<{ items: Key[] }>("/admin/keys", {}, signal),
  refetchInterval: KEYS_EVERY_MS,
});

export const tenantsQuery = queryOptions({
  queryKey: ["tenants"],
  queryFn: ({ signal }) => get<{ items: Tenant[] }>("/admin/tenants", {}, signal),
});

export const membersQuery = queryOptions({
  queryKey: ["members"],
  queryFn: ({ signal }) => get<{ members: Member[] }>("/admin/members", {}, signal),
});

const AUDIT_ENTRIES = 50;

export function auditQuery(cursor: string | null) {
  return queryOptions({
    queryKey: ["audit", cursor],
    queryFn: ({ signal }) =>
      get<AuditPage>("/admin/audit", { limit: AUDIT_ENTRIES, cursor }, signal),
    placeholderData: keepPreviousData,
  });
}

const keyPath = (id: string) => `/admin/keys/${encodeURIComponent(id)}`;

export const makeKey = (key: NewKey) => post<KeyMade>("/admin/keys", key);
export const rotateKey = (id: string, overlapSeconds: number) =>
  post<KeyMade>(`${keyPath(id)}/rotate`, { overlapSeconds });
export const revokeKey = (id: string) => post<Key>(`${keyPath(id)}/revoke`, undefined);

export const makeTenant = (tenant: { id: string; name?: string }) =>
  post<Tenant>("/admin/tenants", tenant);
export const changeTenant = (id: string, change: TenantChange) =>
  send<Tenant>("PATCH", `/admin/tenants/${encodeURIComponent(id)}`, change);

/** A member without a tenant is an operator; left out, it is that of whoever asks. */
type NewMember = Pick<Member, "email" | "role"> & { tenant?: string | null };

export const putMember = (member: NewMember) => send<Member>("PUT", "/admin/members", member);
export const removeMember = (email: string, tenant?: string | null) =>
  send<void>("DELETE", "/admin/members", { email, tenant });
