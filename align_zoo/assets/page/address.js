// The question in the page's address, behind the #: it comes back from there, and no server sees it.

/** {view, fields}: fields is a URLSearchParams. */
export function read() {
  const [, view = "", query = ""] = /^#\/(\w*)\??(.*)$/.exec(location.hash) || [];
  return { view, fields: new URLSearchParams(query) };
}

/** The address of a question; a field may have several values. */
export function hashOf(view, given) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    for (const each of [value].flat()) if (each) fields.append(name, each);
  }
  return `#/${view}${String(fields) && `?${fields}`}`;
}

/** Puts a question into the address: as a new place to come back to, or in place of the last. */
export function write(view, given, { anew = false } = {}) {
  const hash = hashOf(view, given);
  if (hash === location.hash) return;
  history[anew ? "pushState" : "replaceState"](null, "", hash);
}

export function onReturn(call) {
  addEventListener("popstate", call);
}
