import { useState } from "react";

/** State that belongs to a scope, such as the filters of a list: in another one it begins anew. */
export function useScoped<T>(scope: unknown, initial: T): [T, (value: T) => void] {
  const key = JSON.stringify(scope);
  const [state, setState] = useState({ key, value: initial });
  const isOld = state.key !== key;
  if (isOld) setState({ key, value: initial });
  return [isOld ? initial : state.value, (value) => setState({ key, value })];
}
