const LINK = "#sign-in=";

/**
 * Takes the token of a sign-in link out of the address, so that it stays neither in the bar nor in
 * the history. It is in the fragment because browsers send that to nobody.
 */
export function takeLink(): string | null {
  const { hash, pathname, search } = window.location;
  if (!hash.startsWith(LINK)) return null;
  window.history.replaceState(window.history.state, "", pathname + search);
  return hash.slice(LINK.length);
}
