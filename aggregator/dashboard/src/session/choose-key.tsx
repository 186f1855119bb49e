import { useMutation } from "@tanstack/react-query";
import { useContext } from "react";
import { makeKey } from "../access/access.ts";
import { Field, Form } from "../ui/form.tsx";
import { HeldKey } from "./send-key.tsx";
import { may, useSession } from "./session.ts";

/** Every service asks twice a second which keys there are. */
const KNOWN_WITHIN_MS = 1_000;

/** Asks for a key to send events with, or makes one. */
export function ChooseKey() {
  const [key, hold] = useContext(HeldKey);
  const { role, tenant } = useSession();
  const making = useMutation({
    mutationFn: async () => {
      // Pages of other origins that get to know it can do nothing with it.
      const origins = [window.location.origin];
      const of = { scope: "write", tenant: tenant.id, public: true, origins } as const;
      const { key } = await makeKey({ name: "Get started", ...of });
      await new Promise((fulfil) => setTimeout(fulfil, KNOWN_WITHIN_MS));
      hold(key);
    },
    gcTime: 0,
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
            {making.isPending ? "Making one…" : "Make one"}
          </button>
        )}
      </div>
    </Form>
  );
}
