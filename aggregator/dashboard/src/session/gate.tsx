import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Fragment, lazy, type ReactNode, Suspense, useEffect } from "react";
import { ApiError, SIGNED_OUT } from "../api/client.ts";
import { Failure, Loading } from "../ui/parts.tsx";
import { takeLink } from "./link.ts";
import { Outside } from "./outside.tsx";
import {
  enter,
  forget,
  identity,
  lookAgain,
  SessionContext,
  sessionQuery,
  signInByLink,
  whenOthersTell,
} from "./session.ts";

const SignIn = lazy(() => import("./sign-in.tsx"));

const AGAIN_MS = 2_000;
/** Nobody is signed in, or no longer; all else says why somebody is not let in. */
const PLAIN = ["missing_key", "session_ended"];

/**
 * Shows the screens to whoever is signed in, and signing in to everybody else. What the screens show
 * is of one person, tenant and role: with another one they begin anew.
 */
export function Gate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const link = useSignInLink();
  const { data, error, isPending } = useQuery({
    ...sessionQuery,
    refetchInterval: ({ state }) => (state.error && !isRefused(state.error) ? AGAIN_MS : false),
  });
  useEffect(() => {
    const look = () => lookAgain(client);
    const stop = whenOthersTell(look);
    window.addEventListener(SIGNED_OUT, look);
    return () => {
      stop();
      window.removeEventListener(SIGNED_OUT, look);
    };
  }, [client]);
  const isOut = isRefused(error);
  useEffect(() => {
    if (isOut) forget(client);
  }, [client, isOut]);

  const waiting = (
    <Outside>
      <Loading />
    </Outside>
  );
  if (isPending || link.isPending) return waiting;
  if (isOut) {
    const hasEnded = data !== undefined || error.code === "session_ended";
    const refusal = link.error ?? (PLAIN.includes(error.code) ? null : error);
    return (
      <Suspense fallback={waiting}>
        <SignIn hasEnded={hasEnded} refusal={refusal} />
      </Suspense>
    );
  }
  if (!data) {
    return (
      <Outside>
        <Failure error={error} />
      </Outside>
    );
  }
  return (
    <SessionContext value={data}>
      <Fragment key={identity(data)}>{children}</Fragment>
    </SessionContext>
  );
}

/** Signs in by the link that led here, if one did. */
function useSignInLink() {
  const client = useQueryClient();
  const entering = useMutation({
    mutationFn: signInByLink,
    onSuccess: (session) => enter(client, session),
  });
  const { mutate } = entering;
  useEffect(() => {
    const take = () => {
      const token = takeLink();
      if (token !== null) mutate(token);
    };
    take();
    // A link that is opened where the page is open already changes the fragment only.
    window.addEventListener("hashchange", take);
    return () => window.removeEventListener("hashchange", take);
  }, [mutate]);
  return entering;
}

function isRefused(error: Error | null): error is ApiError {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}
