import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { ApiError } from "../api/client.ts";
import { duration } from "../lib/format.ts";
import { Field, Form } from "../ui/form.tsx";
import { Failure, Loading, Notice } from "../ui/parts.tsx";
import { Outside } from "./outside.tsx";
import { askForCode, enter, signInByCode, signInByKey, signInQuery } from "./session.ts";

interface SignInProps {
  /** Somebody was signed in before: where they were is in the address, and is shown again. */
  hasEnded: boolean;
  /** Why a link or a session is no good, where there was one. */
  refusal: Error | null;
}

/** Asks who somebody is, in the ways that the aggregator takes. */
export default function SignIn({ hasEnded, refusal }: SignInProps) {
  const { data, error, refetch } = useQuery(signInQuery);
  useEffect(() => {
    document.title = "Sign in · EVP";
  }, []);
  return (
    <Outside>
      <h1>Sign in</h1>
      {hasEnded && !refusal && (
        <Notice tone="warn">
          <strong>Your session has ended.</strong> Sign in again to go on where you were.
        </Notice>
      )}
      {refusal && <Failure error={refusal} />}
      {error && <Failure error={error} onRetry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data?.methods.includes("code") && <ByCode />}
      {data?.methods.includes("key") && <ByKey />}
      {data?.methods.includes("link") && (
        <p className="note">
          Or open a sign-in link. Whoever runs EVP makes one, good once and for ten minutes, with{" "}
          <code>evp-aggregator access link</code>.
        </p>
      )}
      <p className="note">
        The <a href="/docs">API reference</a> needs no sign-in.
      </p>
    </Outside>
  );
}

function ByKey() {
  const client = useQueryClient();
  const entering = useMutation({
    mutationFn: signInByKey,
    onSuccess: (session) => enter(client, session),
  });
  return (
    <Form
      label="With a key"
      error={entering.error}
      fields={["key"]}
      onSubmit={(entered) => entering.mutate(entered.text("key"))}
    >
      <h2>With a key</h2>
      <Field
        name="key"
        label="Key"
        hint="A secret one that may read: of the scope read, admin or operator. It is not kept in the browser."
        type="password"
        autoComplete="off"
        spellCheck={false}
        required
      />
      <button type="submit" className="button primary" disabled={entering.isPending}>
        Sign in with the key
      </button>
    </Form>
  );
}

/** By a code that comes by mail; the browser that asked for it is the only one it is good in. */
function ByCode() {
  const client = useQueryClient();
  const asking = useMutation({ mutationFn: askForCode });
  const entering = useMutation({
    mutationFn: signInByCode,
    onSuccess: (session) => enter(client, session),
    onError: (error) => {
      // No other try is taken: it begins with the address again, and says why.
      if (error instanceof ApiError && error.code === "code_expired") asking.reset();
    },
  });
  if (!asking.data) {
    return (
      <Form
        label="By e-mail"
        error={asking.error ?? entering.error}
        fields={["email"]}
        onSubmit={(entered) => {
          entering.reset();
          asking.mutate(entered.text("email"));
        }}
      >
        <h2>By e-mail</h2>
        <Field name="email" label="E-mail address" type="email" autoComplete="email" required />
        <button type="submit" className="button primary" disabled={asking.isPending}>
          Send me a code
        </button>
      </Form>
    );
  }
  return (
    <Form
      label="By e-mail"
      error={entering.error}
      fields={["code"]}
      onSubmit={(entered) => entering.mutate(entered.text("code").replaceAll(/\s/g, ""))}
    >
      <h2>By e-mail</h2>
      <Notice>
        If <strong>{asking.variables}</strong> was invited, a code is on its way to it. It is good
        for {duration(asking.data.expiresInSeconds * 1_000)}, in this browser only.
      </Notice>
      <Field
        name="code"
        label="Code of six digits"
        inputMode="numeric"
        autoComplete="one-time-code"
        pattern="\s*(\d\s*){6}"
        autoFocus
        required
      />
      <div className="form-actions">
        <button type="submit" className="button primary" disabled={entering.isPending}>
          Sign in with the code
        </button>
        <button type="button" className="button quiet" onClick={() => asking.reset()}>
          Another address
        </button>
      </div>
    </Form>
  );
}
