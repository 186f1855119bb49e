import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { count } from "../lib/format.ts";
import { lookAgain } from "../session/session.ts";
import { Confirm, Dialog } from "../ui/dialog.tsx";
import { type Entered, Fault, Field, Form } from "../ui/form.tsx";
import { Empty, Failure, Loading, Panel, Scroll } from "../ui/parts.tsx";
import { changeTenant, makeTenant, type Tenant, tenantsQuery } from "./access.ts";
import { RowButton } from "./keys.tsx";
import { LimitFields, readLimits } from "./limits.tsx";
import { limitsInWords } from "./state.ts";

type Open = { kind: "make" } | { kind: "limit" | "disable" | "enable"; of: Tenant };

/** All tenants, for operators: makes, limits and disables them. */
export function Tenants() {
  const { data, error } = useQuery(tenantsQuery);
  const [open, setOpen] = useState<Open | null>(null);
  const close = () => setOpen(null);
  return (
    <Panel
      title="Tenants"
      note="Each sees only its own events"
      actions={
        <button type="button" className="button primary" onClick={() => setOpen({ kind: "make" })}>
          Make a tenant
        </button>
      }
    >
      {error && <Failure error={error} />}
      {!data && !error && <Loading />}
      {data?.items.length === 0 && <Empty title="There is no tenant" />}
      {data && data.items.length > 0 && <TenantTable tenants={data.items} onOpen={setOpen} />}
      {open?.kind === "make" && <MakeTenant onClose={close} />}
      {open?.kind === "limit" && <LimitTenant tenant={open.of} onClose={close} />}
      {open?.kind === "disable" && (
        <Confirm
          title={`Disable ${open.of.name}`}
          verb="Disable the tenant"
          run={() => changeTenant(open.of.id, { state: "disabled" })}
          changes={tenantsQuery.queryKey}
          onClose={close}
        >
          All its keys are refused, and its members see nothing. What is stored stays, and enabling
          it again brings all of it back.
        </Confirm>
      )}
      {open?.kind === "enable" && (
        <Confirm
          title={`Enable ${open.of.name}`}
          verb="Enable the tenant"
          run={() => changeTenant(open.of.id, { state: "active" })}
          changes={tenantsQuery.queryKey}
          onClose={close}
        >
          Its keys work again, and its members see its events again.
        </Confirm>
      )}
    </Panel>
  );
}

function TenantTable(props: { tenants: Tenant[]; onOpen: (open: Open) => void }) {
  const { tenants, onOpen } = props;
  return (
    <Scroll className="table-scroll" label="Tenants">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Tenant</th>
            <th scope="col">State</th>
            <th scope="col" className="number">
              Events a day
            </th>
            <th scope="col" className="number">
              Types
            </th>
            <th scope="col">Users</th>
            <th scope="col">Limits</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tenants.map((tenant) => (
            <tr key={tenant.id}>
              <th scope="row" className="ellipsis">
                {tenant.name} <span className="soft mono">{tenant.id}</span>
              </th>
              <td>
                <span className={`badge ${tenant.state === "active" ? "good" : "bad"}`}>
                  {tenant.state}
                </span>
              </td>
              <td className="number">
                {typeof tenant.eventsPerDay === "number" ? count(tenant.eventsPerDay) : "no quota"}
              </td>
              <td className="number">{count(tenant.types)}</td>
              <td>{tenant.analytics ? "counted" : "not counted"}</td>
              <td>{limitsInWords(tenant.limits)}</td>
              <td className="row-actions">
                <RowButton
                  verb="Limit"
                  of={tenant}
                  onClick={() => onOpen({ kind: "limit", of: tenant })}
                />
                {tenant.state === "active" ? (
                  <RowButton
                    verb="Disable"
                    of={tenant}
                    onClick={() => onOpen({ kind: "disable", of: tenant })}
                  />
                ) : (
                  <RowButton
                    verb="Enable"
                    of={tenant}
                    onClick={() => onOpen({ kind: "enable", of: tenant })}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

interface TenantDialogProps {
  title: string;
  verb: string;
  fields: readonly string[];
  run: (entered: Entered) => Promise<unknown>;
  onClose: () => void;
  children: React.ReactNode;
}

function TenantDialog({ title, verb, fields, run, onClose, children }: TenantDialogProps) {
  const client = useQueryClient();
  const changing = useMutation({
    mutationFn: run,
    onSettled: () => client.invalidateQueries({ queryKey: tenantsQuery.queryKey }),
    // A new one may be changed to.
    onSuccess: () => lookAgain(client),
  });
  return (
    <Dialog title={title} onClose={onClose}>
      {(close) => (
        <Form
          label={title}
          error={changing.error}
          fields={fields}
          onSubmit={(entered) => changing.mutate(entered, { onSuccess: close })}
        >
          {children}
          <footer className="dialog-actions">
            <button type="button" className="button" onClick={close}>
              Cancel
            </button>
            <button type="submit" className="button primary" disabled={changing.isPending}>
              {verb}
            </button>
          </footer>
        </Form>
      )}
    </Dialog>
  );
}

function MakeTenant({ onClose }: { onClose: () => void }) {
  const run = (entered: Entered) => {
    const name = entered.text("name");
    return makeTenant({ id: entered.text("id"), ...(name === "" ? {} : { name }) });
  };
  return (
    <TenantDialog
      title="Make a tenant"
      verb="Make the tenant"
      fields={["id", "name"]}
      run={run}
      onClose={onClose}
    >
      <Field
        name="id"
        label="Id"
        hint="1 to 32 of a-z, 0-9 and “-”. It is never changed, and never given again"
        autoFocus
        required
      />
      <Field name="name" label="Name" hint="What people call it. Empty: its id" maxLength={100} />
    </TenantDialog>
  );
}

function LimitTenant({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const run = (entered: Entered) =>
    changeTenant(tenant.id, {
      eventsPerDay: entered.number("eventsPerDay") ?? 0,
      limits: readLimits(entered),
      types: entered.number("types"),
      analytics: entered.text("analytics") !== "",
    });
  return (
    <TenantDialog
      title={`Limit ${tenant.name}`}
      verb="Set the limits"
      fields={["eventsPerDay", "limits", "types", "analytics"]}
      run={run}
      onClose={onClose}
    >
      <Field
        name="eventsPerDay"
        label="Events in a UTC day, over all instances"
        hint="Empty: no quota"
        type="number"
        min={1}
        step={1}
        defaultValue={tenant.eventsPerDay ?? undefined}
      />
      <LimitFields limits={tenant.limits} />
      <Field
        name="types"
        label="Types counted by name"
        hint="Events of the rest count together; all tenants may have 20,000"
        type="number"
        min={1}
        step={1}
        defaultValue={tenant.types}
        required
      />
      <label className="tick-label">
        <input type="checkbox" name="analytics" defaultChecked={tenant.analytics} />
        Count unique and top users, which 32 tenants may have
      </label>
      <Fault name="analytics" />
    </TenantDialog>
  );
}
