// One image, many labels: which fits, and where in the image it is seen.

import * as address from "./address.js";
import { codeButton, fileMark } from "./code.js";
import { afterPause, element, labelled, linesOf, percent } from "./dom.js";
import { FIRST } from "./examples.js";
import { difference, drawHeat, heatOf } from "./heat.js";
import { acceptDrops, dataOf, exampleStrip, fromFile, fromKey, sources } from "./images.js";
import { LABEL_SETS, PROMPT_SETS } from "./label_sets.js";
import { ask, lastOnly, sentence } from "./service.js";

const SHOWN = 12;
const HINT = "Point at a label, or move to it by the keyboard, to see where it is found.";

export function classifyView() {
  let image = null;
  let missing = "";
  let heat = null;
  const run = lastOnly();
  const heatRun = lastOnly();

  const labels = element("textarea", {
    rows: 12, spellcheck: false, autocapitalize: "off", oninput: afterPause(350, () => classify()),
  });
  const count = element("small", {});
  const set = element("select", { onchange: () => chooseSet() },
    element("option", { value: "" }, "Own labels"),
    Object.keys(LABEL_SETS).map((name) => element("option", {}, name)));
  const promptSet = element("select", { onchange: () => choosePrompts() },
    element("option", { value: "" }, "Own prompts"),
    Object.keys(PROMPT_SETS).map((name) => element("option", {}, name)));
  const templates = element("textarea", {
    rows: 2, spellcheck: false, autocapitalize: "off",
    oninput: afterPause(350, () => classify()),
  });
  const ownPrompts = labelled("Prompts, one a line", templates,
    "{} is replaced by the label; several prompts are averaged.");
  const none = element("input", {
    value: "something else", autocomplete: "off", "aria-label": "Label for none of these",
    oninput: afterPause(350, () => classify()),
  });
  const withNone = element("input", { type: "checkbox", onchange: () => classify({ anew: true }) });
  const stage = element("div", { class: "stage" });
  const results = element("ol", { class: "bars", "aria-label": "Labels, best first" });
  const status = element("p", { class: "note", role: "status" });
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const where = element("p", { class: "note", role: "status", id: "heat-hint" });
  const other = element("select", { onchange: () => chooseOther() });
  const compared = element("label", { class: "inline", hidden: true }, "Compare with", other);
  let shown = [];
  let pinned = "";
  let against = "";
  const more = element("button", { type: "button", class: "quiet", hidden: true });

  const root = element("div", { class: "columns three" },
    element("section", { class: "card", "aria-label": "Image" }, stage, where, compared,
      element("div", { class: "row" }, ...sources(([file]) => file && give(file))),
      exampleStrip((key) => choose(key))),
    element("section", { class: "card", "aria-label": "Answer" },
      element("div", { class: "row" }, element("h1", {}, "What it shows"),
        codeButton(() => question(image ? fileMark(image) : ""))),
      problem, results, more, status),
    element("section", { class: "card", "aria-label": "Question" },
      labelled("Labels, one a line", labels), element("div", { class: "row" }, count,
        element("label", { class: "inline" }, element("span", { class: "hidden" }, "Label set"), set)),
      labelled("Prompt set", promptSet), ownPrompts,
      element("div", { class: "row start" },
        element("label", { class: "inline" }, withNone, "None of these"), none),
      element("button", { type: "button", class: "strong wide", onclick: () => classify({ anew: true }) },
        "Classify")));
  acceptDrops(root, ([file]) => file && give(file));

  async function choose(key, { anew = true } = {}) {
    image = key ? await fromKey(key) : null;
    missing = key && !image
      ? "The address names an image that was given before this page was loaded. Give it again." : "";
    heat = image && heatOf(image);
    stage.classList.remove("heated");
    stage.replaceChildren(...image
      ? [element("img", { src: image.address, alt: `The image ${image.name}` }), element("canvas")]
      : [element("p", { class: "empty" }, "Drop an image here, paste one, or choose one below.")]);
    return classify({ anew });
  }

  function give(file) {
    return choose(fromFile(file).key);
  }

  function chooseSet() {
    if (set.value) labels.value = LABEL_SETS[set.value].join("\n");
    classify({ anew: true });
  }

  function chooseOther() {
    against = other.value;
    address.write("classify", fields(), { anew: true });
    showHeat(pinned);
  }

  /** The name of the chosen set, if the service has its prompts; else "". */
  function serviceSet() {
    const found = PROMPT_SETS[promptSet.value];
    return typeof found === "string" ? found : "";
  }

  function choosePrompts() {
    const found = PROMPT_SETS[promptSet.value];
    if (Array.isArray(found)) templates.value = found.join("\n");
    classify({ anew: true });
  }

  /** The prompts as the service takes them, and the address has them. */
  function prompts() {
    if (serviceSet()) return { prompts: serviceSet() };
    const lines = linesOf(templates.value);
    if (!lines.length || String(lines) === "{}") return {};
    return { template: lines.length === 1 ? lines[0] : lines };
  }

  function fields() {
    return {
      image: image?.key,
      label: linesOf(labels.value),
      ...prompts(),
      none: withNone.checked ? none.value : "",
      against,
    };
  }

  function question(data) {
    const body = { images: [data], labels: linesOf(labels.value), ...prompts() };
    if (withNone.checked && none.value) body.none = none.value;
    return { path: "v1/classify", body, images: image ? [image] : [] };
  }

  function classify({ anew = false } = {}) {
    const names = linesOf(labels.value);
    count.textContent = names.length === 1 ? "1 label" : `${names.length} labels`;
    set.value = Object.keys(LABEL_SETS).find((name) => String(LABEL_SETS[name]) === String(names)) ?? "";
    if (!serviceSet()) {
      const lines = linesOf(templates.value);
      promptSet.value = Object.keys(PROMPT_SETS).find((name) => String(PROMPT_SETS[name]) === String(lines)) ?? "";
    }
    ownPrompts.hidden = Boolean(serviceSet());
    none.disabled = !withNone.checked;
    if (!names.includes(against) && !(withNone.checked && against === none.value)) against = "";
    address.write("classify", fields(), { anew });
    return run(async (signal) => {
      if (!image || !names.length) {
        show([], missing, image ? "Write at least one label." : "");
        return;
      }
      results.setAttribute("aria-busy", "true");
      const { path, body } = question(await dataOf(image));
      const begin = performance.now();
      const { data: [{ predictions }] } = await ask(path, body, signal);
      const milliseconds = Math.round(performance.now() - begin);
      show(predictions, "", `${predictions.length} labels in ${milliseconds} ms`);
    }, (error) => show([], sentence(error.message), ""));
  }

  function show(predictions, wrong, words) {
    problem.textContent = wrong;
    problem.hidden = !wrong;
    status.textContent = words;
    results.removeAttribute("aria-busy");
    shown = predictions.map(({ label }) => label);
    other.replaceChildren(element("option", { value: "" }, "no other label"),
      ...shown.map((each) => element("option", {}, each)));
    other.value = against;
    compared.hidden = shown.length < 2;
    showHeat("");
    results.replaceChildren(...predictions.slice(0, SHOWN).map(bar));
    more.hidden = predictions.length <= SHOWN;
    more.textContent = `Show all ${predictions.length}`;
    more.onclick = () => {
      results.append(...predictions.slice(SHOWN).map(bar));
      more.hidden = true;
    };
  }

  function bar({ label, score }) {
    const fill = element("span", { class: "fill" });
    fill.style.inlineSize = `${score * 100}%`;
    return element("li", {}, element("button", {
      type: "button", "aria-pressed": false, "aria-describedby": "heat-hint",
      onclick: () => { pinned = pinned === label ? "" : label; showHeat(pinned); },
      onpointerenter: () => showHeat(label), onpointerleave: () => showHeat(pinned),
      onfocus: () => showHeat(label), onblur: () => showHeat(pinned),
      "data-label": label,
    }, fill, element("span", { class: "name" }, label), element("span", { class: "share" }, percent(score))));
  }

  /** The heat map of a label with its prompts; "none of these" has none. */
  function heatMap(label, signal) {
    const isNone = (each) => withNone.checked && each === none.value && !linesOf(labels.value).includes(each);
    if (isNone(label)) return heat([label], {}, signal);
    // With the first, all that are shown: the image's own part is computed once.
    return heat([label, ...shown.slice(0, SHOWN).filter((each) => !isNone(each))], prompts(), signal);
  }

  function showHeat(label) {
    if (!shown.includes(pinned)) pinned = "";
    for (const button of results.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", Boolean(pinned) && button.dataset.label === pinned);
    }
    return heatRun(async (signal) => {
      if (!label || !heat) {
        stage.classList.remove("heated");
        where.textContent = shown.length ? HINT : "";
        return;
      }
      const own = await heatMap(label, signal);
      const versus = against && against !== label;
      const found = versus ? difference(own, await heatMap(against, signal)) : own;
      if (signal.aborted) return;
      drawHeat(stage.querySelector("canvas"), stage.querySelector("img"), found);
      stage.classList.add("heated");
      const places = `divided among ${found.rows.length} × ${found.columns.length} places.`;
      where.textContent = versus
        ? `Orange speaks for “${label}”, blue for “${against}”: the difference of their cosines, `
          + `${found.score.toFixed(3)}, ${places}`
        : `Where “${label}” is seen: its cosine, ${found.score.toFixed(3)}, ${places}`;
    }, (error) => { where.textContent = sentence(error.message); });
  }

  return {
    root,
    address: () => address.hashOf("classify", fields()),
    restore(given) {
      const first = !String(given);
      labels.value = (first ? FIRST.labels : given.getAll("label")).join("\n");
      promptSet.value = Object.keys(PROMPT_SETS).find((name) => PROMPT_SETS[name] === given.get("prompts")) ?? "";
      templates.value = given.getAll("template").join("\n") || "{}";
      withNone.checked = given.has("none");
      none.value = given.get("none") || "something else";
      against = given.get("against") || "";
      return choose(first ? `example:${FIRST.image}` : given.get("image"), { anew: false });
    },
  };
}
