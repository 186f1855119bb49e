import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { time } from "../lib/format.ts";
import { may, ROLES, type Role, signInQuery, useSession } from "../session/session.ts";
import { Confirm, Dialog } from "../ui/dialog.tsx";
import { Choice, Field, Form } from "../ui/form.tsx";
import { Empty, Failure, Loading, Notice, Panel, Scroll } from "../ui/parts.tsx";
import { type Member, membersQuery, putMember, removeMember } from "./access.ts";
import { RowButton } from "./keys.tsx";

/** People who may sign in: invites and removes them. */
export function Members() {
  const { data, error } = useQuery(membersQuery);
  const signIn = useQuery(signInQuery);
  const [isInviting, setInviting] = useState(false);
  const [removed, setRemoved] = useState<Member | null>(null);
  const members = data?.members ?? [];
  return (
    <Panel
      title="Members"
      note="People who sign in with their e-mail address"
      actions={
        <button type="button" className="button primary" onClick={() => setInviting(true)}>
          Invite somebody
        </button>
      }
    >
      {signIn.data?.methods.includes("code") === false && (
        <Notice tone="warn">
          No mail is sent by this EVP, so nobody gets a code: members sign in by a link, which
          whoever runs EVP makes with <code>evp-aggregator access link</code>.
        </Notice>
      )}
      {error && <Failure error={error} />}
      {!data && !error && <Loading />}
      {data && members.length === 0 && <Empty title="Nobody was invited yet" />}
      {members.length > 0 && <MemberTable members={members} onRemove={setRemoved} />}
      {isInviting && <Invite onClose={() => setInviting(false)} />}
      {removed && (
        <Confirm
          title={`Remove ${removed.email}`}
          verb="Remove the member"
          run={() => removeMember(removed.email, removed.tenant)}
          changes={membersQuery.queryKey}
          onClose={() => setRemoved(null)}
        >
          They are signed out of {removed.tenant ?? "all tenants"}, and cannot sign in there again
          unless they are invited again.
        </Confirm>
      )}
    </Panel>
  );
}

function MemberTable(props: { members: Member[]; onRemove: (member: Member) => void }) {
  return (
    <Scroll className="table-scroll" label="Members">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">E-mail address</th>
            <th scope="col">Role</th>
            <th scope="col">Of</th>
            <th scope="col">Invited</th>
            <th scope="col">Last signed in</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {props.members.map((member) => (
            <tr key={`${member.email} ${member.tenant}`}>
              <th scope="row" className="ellipsis">
                {member.email}
              </th>
              <td>{member.role}</td>
              <td>{member.tenant ?? "all tenants"}</td>
              <td>{time(member.createdAt).slice(0, -4)}</td>
              <td>{member.lastSignInAt ? time(member.lastSignInAt).slice(0, -4) : "never"}</td>
              <td className="row-actions">
                <RowButton
                  verb="Remove"
                  of={{ name: member.email }}
                  onClick={() => props.onRemove(member)}
                />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const MAY: Record<Role, string> = {
  viewer: "sees what was sent",
  admin: "sees it, and acts on dead letters, keys and members",
  operator: "sees and mends the whole system, of all tenants",
};

function Invite({ onClose }: { onClose: () => void }) {
  const { role: own, tenant } = useSession();
  const client = useQueryClient();
  const [role, setRole] = useState<Role>("viewer");
  const inviting = useMutation({
    mutationFn: (email: string) =>
      // An operator is of no tenant.
      putMember({ email, role, ...(role === "operator" ? {} : { tenant: tenant.id }) }),
    onSettled: () => client.invalidateQueries({ queryKey: membersQuery.queryKey }),
  });
  return (
    <Dialog title="Invite somebody" onClose={onClose}>
      {(close) => (
        <Form
          label="Invite somebody"
          error={inviting.error}
          fields={["email", "role"]}
          onSubmit={(entered) => inviting.mutate(entered.text("email"), { onSuccess: close })}
        >
          <Field
            name="email"
            label="E-mail address"
            hint="Of somebody who is a member already: their role is changed"
            type="email"
            autoFocus
            required
          />
          <Choice
            name="role"
            label="Role"
            value={role}
            onChange={(event) => setRole(event.currentTarget.value as Role)}
            hint={role === "operator" ? undefined : `Of ${tenant.name}`}
          >
            {ROLES.filter((each) => may(own, each)).map((each) => (
              <option key={each} value={each}>
                {each}: {MAY[each]}
              </option>
            ))}
          </Choice>
          <footer className="dialog-actions">
            <button type="button" className="button" onClick={close}>
              Cancel
            </button>
            <button type="submit" className="button primary" disabled={inviting.isPending}>
              Invite
            </button>
          </footer>
        </Form>
      )}
    </Dialog>
  );
}
