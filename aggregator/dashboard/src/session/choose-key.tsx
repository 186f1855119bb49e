import { useMutation } from "@tanstack/react-query";
import { useContext } from "react";
import { makeKey } from "../access/access.ts";
import { Field, Form } from "../ui/form.tsx";
import { HeldKey } from "./send-key.tsx";
import { may, useSession } from "./session.ts";

/** Asks for a key to send events with, or makes one. */
export function ChooseKey() {
  const [key, hold] = useContext(HeldKey);
  const { role, tenant } = useSession();
  const making = useMutation({
    mutationFn: () =>
      // It is sent from this page: any other page that reads it can do nothing with it.
      makeKey({
        name: "Get started",
        scope: "write",
        tenant: tenant.id,
        public: true,
        origins: [window.location.origin],
      }),
    gcTime: 0,
    onSuccess: (made) => hold(made.key),
  });
  if (key) {
    return (
      <p className="note">
        With the key <code>{`${key.slice(0, 13)}…`}</code>, which this page forgets when it is left.{" "}
        <button type="button" className="link" onClick={() => hold(null)}>
          Use another one
        </button>
      </p>
    );
  }
  return (
    <Form
      label="Send with a key"
      error={making.error}
      fields={[]}
      onSubmit={(entered) => hold(entered.text("key"))}
    >
      <Field
        name="key"
        label="A key to send with"
        hint="One of the scope write. It is not kept in the browser."
        type="password"
        autoComplete="off"
        spellCheck={false}
        required
      />
      <div className="form-actions">
        <button type="submit" className="button">
          Use this key
        </button>
        {may(role, "admin") && (
          <button
            type="button"
            className="button primary"
            disabled={making.isPending}
            onClick={() => making.mutate()}
          >
            Make one
          </button>
        )}
      </div>
    </Form>
  );
}
