import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { inWords } from "../lib/refusal.ts";
import { IconButton } from "../ui/parts.tsx";
import { changeTenant, enter, isSignedIn, leave, type Session, useSession } from "./session.ts";

/** Who is signed in, as what and for which tenant; changes the tenant, and signs out. */
export function Account() {
  const session = useSession();
  const client = useQueryClient();
  const leaving = useMutation({ mutationFn: () => leave(client) });
  if (!isSignedIn(session)) return null;
  return (
    <section className="account" aria-label="Who is signed in">
      <p className="ellipsis" title={session.email}>
        <span className="soft">{session.role} · </span>
        {session.email ?? `signed in by ${session.via}`}
      </p>
      <Tenant session={session} />
      <IconButton
        icon="leave"
        label="Sign out"
        disabled={leaving.isPending}
        onClick={() => leaving.mutate()}
      />
      {leaving.error && <p className="fault">{inWords(leaving.error)}</p>}
    </section>
  );
}

function Tenant({ session }: { session: Session }) {
  const client = useQueryClient();
  const [path, navigate] = useLocation();
  const changing = useMutation({
    mutationFn: changeTenant,
    onSuccess: async (next) => {
      // Filters and cursors are of what the tenant before sent.
      navigate(path, { replace: true });
      await enter(client, next);
    },
  });
  const { tenant, tenants } = session;
  if (tenants.length < 2) return <p className="ellipsis tenant">{tenant.name}</p>;
  return (
    <>
      <select
        className="field"
        aria-label="Tenant"
        value={changing.isPending ? changing.variables : tenant.id}
        disabled={changing.isPending}
        onChange={(event) => changing.mutate(event.currentTarget.value)}
      >
        {tenants.map(({ id, name }) => (
          <option key={id} value={id}>
            {name === id ? id : `${name} (${id})`}
          </option>
        ))}
      </select>
      {changing.error && <p className="fault">{inWords(changing.error)}</p>}
    </>
  );
}
