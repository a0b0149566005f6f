// Makes elements: no HTML is ever parsed from a string, so no answer can bring any.

/** element("p", {class: "note", onclick}, "text", child): attributes, properties, listeners. */
export function element(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A control with its name above it. */
export function labelled(name, control, hint) {
  return element("label", { class: "field" }, element("span", {}, name), control,
    hint ? element("small", {}, hint) : null);
}

/** Calls a function once its caller has paused. */
export function afterPause(milliseconds, call) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds);
  };
}

/** The lines of a text that are not blank, each once. A comma belongs to its line. */
export function linesOf(text) {
  return [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}

/** A dialog of the browser's own: the keyboard stays within, Escape closes it. */
export function openDialog(title, ...content) {
  const close = element("button", { class: "quiet", type: "button", "aria-label": "Close" }, "✕");
  const dialog = element("dialog", { "aria-label": title },
    element("div", { class: "row" }, element("h2", {}, title), close), ...content);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
