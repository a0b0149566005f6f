// Several images and several texts: a table of how well each pair fits.

import * as address from "./address.js";
import { codeButton, fileMark } from "./code.js";
import { afterPause, element, labelled, linesOf, percent } from "./dom.js";
import { FIRST } from "./examples.js";
import { acceptDrops, dataOf, exampleStrip, fromFile, fromKey, sources } from "./images.js";
import { ask, lastOnly, sentence } from "./service.js";

/** What a cell shows, and the request that it comes from. */
const MEASURES = {
  cosine: {
    name: "Cosine",
    path: "v1/embeddings",
    body: (images, texts) => ({
      input: [...images.map((image) => ({ image })), ...texts.map((text) => ({ text }))],
    }),
    cells({ data }, images) {
      const rows = data.map(({ embedding }) => embedding);
      return rows.slice(0, images).map((image) => rows.slice(images).map((text) =>
        image.reduce((sum, value, i) => sum + value * text[i], 0)));
    },
    format: (value) => value.toFixed(3),
  },
  share: {
    name: "Probability",
    path: "v1/classify",
    body: (images, texts) => ({ images, labels: texts }),
    cells: ({ data }, _, texts) => data.map(({ predictions }) => {
      const found = new Map(predictions.map(({ label, score }) => [label, score]));
      return texts.map((text) => found.get(text));
    }),
    format: percent,
  },
};

export function compareView() {
  let images = [];
  let missing = 0;
  let measure = "cosine";
  const run = lastOnly();

  const texts = element("textarea", { rows: 8, spellcheck: false, oninput: afterPause(350, () => compare()) });
  const switches = Object.entries(MEASURES).map(([key, { name }]) => element("button",
    { type: "button", "data-key": key, onclick: () => { measure = key; compare({ anew: true }); } }, name));
  const table = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Images and texts" });
  const status = element("p", { class: "note", role: "status" });
  const problem = element("p", { class: "problem", role: "alert", hidden: true });

  const root = element("div", { class: "columns side" },
    element("section", { class: "card", "aria-label": "Answer" },
      element("div", { class: "row" }, element("h1", {}, "What fits what"),
        element("div", { class: "row" },
          element("div", { class: "row segmented", role: "group", "aria-label": "Measure" }, switches),
          codeButton(() => ({ ...question(images.map(fileMark)), images })))),
      problem, table, status),
    element("section", { class: "card", "aria-label": "Question" },
      element("div", { class: "dropzone empty" }, "Drop images here, or paste them."),
      element("div", { class: "row" }, ...sources((files) => give(files), true)),
      exampleStrip((key) => add([key])),
      labelled("Texts, one a line", texts)));
  acceptDrops(root, (files) => give(files));

  async function load(keys) {
    const found = await Promise.all(keys.map(fromKey));
    images = found.filter(Boolean);
    missing = found.length - images.length;
  }

  async function add(keys) {
    await load([...new Set([...images.map(({ key }) => key), ...keys])]);
    return compare({ anew: true });
  }

  function give(files) {
    return add(files.map((file) => fromFile(file).key));
  }

  function remove(key) {
    images = images.filter((image) => image.key !== key);
    compare({ anew: true });
  }

  function fields() {
    return {
      image: images.map(({ key }) => key), text: linesOf(texts.value), by: measure === "cosine" ? "" : measure,
    };
  }

  function question(data) {
    const { path, body } = MEASURES[measure];
    return { path, body: body(data, linesOf(texts.value)) };
  }

  function compare({ anew = false } = {}) {
    for (const each of switches) each.setAttribute("aria-pressed", each.dataset.key === measure);
    address.write("compare", fields(), { anew });
    const lines = linesOf(texts.value);
    show(lines, null);
    return run(async (signal) => {
      problem.hidden = !missing;
      problem.textContent = "The address names images that were given before this page was loaded. Give them again.";
      status.textContent = "";
      if (!images.length || !lines.length) return;
      const { path, body } = question(await Promise.all(images.map(dataOf)));
      const { cells } = MEASURES[measure];
      show(lines, cells(await ask(path, body, signal), images.length, lines));
      status.textContent = `${images.length} × ${lines.length}; framed: the text that fits an image best.`;
    }, (error) => {
      problem.textContent = sentence(named(error));
      problem.hidden = false;
    });
  }

  /** Which image an error is about: the service counts, people have names. */
  function named(error) {
    const place = /^(?:images|input)\[(\d+)\]/.exec(error.param ?? "")?.[1];
    return place && images[place] ? `${images[place].name}: ${error.message}` : error.message;
  }

  function show(lines, cells) {
    const head = element("tr", {}, element("td", {}),
      lines.map((line) => element("th", { scope: "col" }, line)));
    const [least, most] = cells ? [Math.min(...cells.flat()), Math.max(...cells.flat())] : [0, 0];
    const rows = images.map((image, i) => element("tr", {},
      element("th", { scope: "row" }, element("span", { class: "thumb" },
        element("img", { src: image.address, alt: image.name }),
        element("button", { type: "button", "aria-label": `Remove ${image.name}`, onclick: () => remove(image.key) }, "✕"))),
      lines.map((_, j) => cell(cells?.[i], j, least, most))));
    table.replaceChildren(images.length
      ? element("table", {}, element("thead", {}, head), element("tbody", {}, rows))
      : element("p", { class: "empty" }, "Give images to compare."));
  }

  function cell(row, j, least, most) {
    if (!row) return element("td", {}, "…");
    const made = element("td", { class: row[j] === Math.max(...row) ? "best" : "" }, MEASURES[measure].format(row[j]));
    made.style.setProperty("--heat", most > least ? Math.max(row[j] - Math.max(least, 0), 0) / (most - Math.max(least, 0)) : 0);
    return made;
  }

  return {
    root,
    address: () => address.hashOf("compare", fields()),
    async restore(given) {
      const first = !String(given);
      texts.value = (first ? FIRST.texts : given.getAll("text")).join("\n");
      measure = given.get("by") in MEASURES ? given.get("by") : "cosine";
      await load(first ? FIRST.images.map((name) => `example:${name}`) : given.getAll("image"));
      return compare();
    },
  };
}
