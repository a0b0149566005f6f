// Begins: shows the view that the address names, and follows the address.

import { onReturn, read } from "./address.js";
import { classifyView } from "./classify.js";
import { compareView } from "./compare.js";
import { searchView } from "./search.js";
import { ask } from "./service.js";

const view = document.getElementById("view");
const tabs = [...document.querySelectorAll("#tabs a")];
const views = { classify: classifyView, compare: compareView, search: searchView };
for (const tab of tabs) if (tab.hidden) delete views[tab.dataset.view];
const shown = {};
let current;

function show() {
  const { view: name, fields } = read();
  const wanted = name in views ? name : "classify";
  for (const tab of tabs) {
    if (tab.dataset.view === wanted) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  shown[wanted] ??= views[wanted]();
  if (current !== wanted) view.replaceChildren(shown[wanted].root);
  current = wanted;
  document.title = `${tabs.find((tab) => tab.dataset.view === wanted).textContent} · align-zoo`;
  shown[wanted].restore(fields);
}

/** A tab leads to its view as it was left. */
for (const tab of tabs) {
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    if (tab.dataset.view === current) return;
    history.pushState(null, "", shown[tab.dataset.view]?.address?.() ?? tab.hash);
    show();
  });
}

show();
onReturn(show);
document.documentElement.dataset.usable = "";

const { data: [model] } = await ask("v1/models");
document.getElementById("model").textContent = model.id;
