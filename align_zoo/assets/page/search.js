// The images of a collection that match words and images.

import * as address from "./address.js";
import { codeButton, fileMark } from "./code.js";
import { element, labelled } from "./dom.js";
import { acceptDrops, dataOf, fromFile, fromKey, PATH, sources } from "./images.js";
import { ask, imageAddress, lastOnly, sentence } from "./service.js";

const FIRST_HITS = 24;
const MOST_HITS = 500;

export function searchView() {
  let images = []; // {key, path, image, weight}: of the collection by its path, or given
  let hits = FIRST_HITS;
  let everything = false;
  let missing = false;
  let pictures = new AbortController();
  const run = lastOnly();

  const words = element("input", {
    type: "search", "aria-label": "What to search for", autocomplete: "off", enterkeyhint: "search",
    placeholder: "a red star - blue, or drop an image here",
  });
  const chips = element("div", { class: "chips", role: "group", "aria-label": "Images to search by" });
  const within = element("input", { autocomplete: "off", onchange: () => search({ anew: true }) });
  const wide = element("input", { type: "number", min: "0", onchange: () => search({ anew: true }) });
  const sql = element("input", {
    autocomplete: "off", spellcheck: false, placeholder: "height > width", onchange: () => search({ anew: true }),
  });
  const columns = element("small", {});
  const fold = element("input", { type: "checkbox", onchange: () => search({ anew: true }) });
  const status = element("p", { class: "note", role: "status" });
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const nothing = element("div", { class: "card empty", hidden: true });
  const list = element("ol", { class: "hits", "aria-label": "Images found, best first" });
  const more = element("button", { type: "button", hidden: true, onclick: () => { hits *= 2; search({ anew: true }); } },
    "Show more");

  const form = element("form", { class: "searchbar", role: "search" }, words,
    element("button", { class: "strong" }, "Search"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
  const root = element("div", { class: "stack dropzone-page" },
    element("h1", { class: "hidden" }, "Search the collection"), form,
    element("div", { class: "row" }, chips, element("div", { class: "row" },
      ...sources(([file]) => file && addFile(file)), codeButton(codeOf))),
    element("details", { class: "card" }, element("summary", {}, "Filters"),
      element("div", { class: "filters" }, labelled("Path contains", within),
        labelled("Wider than (pixels)", wide), labelled("Condition in SQL", sql)),
      columns,
      element("label", { class: "inline" }, fold, "Show of near-duplicates one alone")),
    problem, status, nothing, list, element("div", { class: "row" }, more));
  acceptDrops(root, ([file], path) => file ? addFile(file) : addPath(path));
  ask("v1/collection").then(({ name, images: count, columns: names }) => {
    columns.textContent = `${name}: ${count.toLocaleString("en")} images; columns: ${names.join(", ")}.`;
  }, (error) => { columns.textContent = sentence(error.message); });

  function addFile(file) {
    const image = fromFile(file);
    return add({ key: image.key, image, weight: 1 });
  }

  function addPath(path) {
    return add({ key: `path:${path}`, path, weight: 1 });
  }

  function add(given) {
    images = [...images.filter(({ key }) => key !== given.key), given];
    return restart();
  }

  function restart() {
    hits = FIRST_HITS;
    everything = false;
    return search({ anew: true });
  }

  function where() {
    const conditions = [];
    if (within.value.trim()) {
      conditions.push(`lower(path) LIKE '%${within.value.trim().toLowerCase().replaceAll("'", "''")}%'`);
    }
    if (Number(wide.value) > 0) conditions.push(`width > ${Number(wide.value)}`);
    if (sql.value.trim()) conditions.push(`(${sql.value.trim()})`);
    return conditions.join(" AND ");
  }

  function question(data) {
    const body = {
      query: words.value.trim(),
      images: images.map(({ path, weight }, i) => path ? { path, weight } : { image: data[i], weight }),
      k: hits, where: where(), fold_duplicates: fold.checked, all: everything,
    };
    for (const name of Object.keys(body)) {
      if (!body[name] || body[name].length === 0) delete body[name];
    }
    return { path: "v1/search", body };
  }

  function codeOf() {
    const given = images.map(({ image }) => image).filter(Boolean);
    return { ...question(images.map(({ image }) => image && fileMark(image))), images: given };
  }

  function fields() {
    return {
      q: words.value.trim(), image: images.map(({ key, weight }) => `${weight < 0 ? "-" : "+"}${key}`),
      within: within.value, wide: wide.value, sql: sql.value,
      each: fold.checked ? "" : "1", all: everything ? "1" : "", k: hits === FIRST_HITS ? "" : String(hits),
    };
  }

  function search({ anew = false } = {}) {
    address.write("search", fields(), { anew });
    showChips();
    return run(async (signal) => {
      problem.hidden = !missing;
      problem.textContent = "The address names an image that was given before this page was loaded. Give it again.";
      nothing.hidden = true;
      if (!words.value.trim() && !images.length) {
        show([]);
        nothing.hidden = false;
        nothing.replaceChildren(element("p", {}, "Say what to look for, or give an image that is like it."),
          element("p", { class: "note" }, "“a star + green” asks for both, “a star - blue” for no blue, “2:star” weighs double."));
        status.textContent = "";
        return;
      }
      list.setAttribute("aria-busy", "true");
      const { path, body } = question(await Promise.all(images.map(({ image }) => image && dataOf(image))));
      const begin = performance.now();
      const { data, nearest } = await ask(path, body, signal);
      show(data);
      const milliseconds = Math.round(performance.now() - begin);
      status.textContent = data.length ? `${data.length} ${data.length === 1 ? "image" : "images"} in ${milliseconds} ms` : "";
      if (!data.length) showNothing(nearest);
    }, (error) => {
      show([]);
      problem.textContent = sentence(error.message);
      problem.hidden = false;
    });
  }

  function showNothing(nearest) {
    const asked = words.value.trim() ? `“${words.value.trim()}”` : "these images";
    const parts = [element("p", {}, `Nothing here matches ${asked}${where() ? " with these filters" : ""}.`)];
    if (nearest) {
      parts.push(element("p", { class: "note" }, `The nearest is ${nameOf(nearest.path)}, at ${nearest.score.toFixed(3)}.`),
        element("button", { type: "button", onclick: () => { everything = true; search({ anew: true }); } },
          "Show the nearest images"));
    } else {
      parts.push(element("p", { class: "note" }, "No image fits the filters."));
    }
    nothing.replaceChildren(...parts);
    nothing.hidden = false;
  }

  function show(found) {
    pictures.abort();
    pictures = new AbortController();
    for (const img of list.querySelectorAll("img")) URL.revokeObjectURL(img.src);
    list.removeAttribute("aria-busy");
    list.replaceChildren(...found.map(card));
    more.hidden = found.length < hits || hits >= MOST_HITS;
  }

  function card({ path, score, columns: about }) {
    const name = nameOf(path);
    const copies = about.duplicates ? element("span", { class: "copies" },
      about.duplicates === 1 ? "and 1 copy" : `and ${about.duplicates} copies`) : null;
    const size = about.width ? `${about.width} × ${about.height}` : "";
    return element("li", {
      class: "hit", draggable: true, ondragstart: (event) => event.dataTransfer.setData(PATH, path),
    }, picture(path, name), element("div", { class: "about" },
      element("span", { class: "path", title: path }, name),
      element("span", { class: "row note" }, element("span", {}, [score.toFixed(3), size].filter(Boolean).join(" · ")), copies),
      element("button", { type: "button", "aria-label": `More like ${name}`, onclick: () => moreLike(path) },
        "More like this")));
  }

  function picture(path, name) {
    const frame = element("div", { class: "blank" });
    imageAddress(`v1/collection/thumbnail?path=${encodeURIComponent(path)}`, pictures.signal).then(
      (src) => frame.replaceWith(element("img", { src, alt: name, draggable: false })),
      (error) => { frame.textContent = pictures.signal.aborted ? "" : error.message; });
    return frame;
  }

  function moreLike(path) {
    words.value = "";
    images = [];
    addPath(path);
    scrollTo({ top: 0 });
    words.focus();
  }

  function showChips() {
    chips.replaceChildren(...images.map((given) => {
      const name = given.path ? nameOf(given.path) : given.image.name;
      const sign = element("button", {
        type: "button", "aria-label": `${name} is ${given.weight > 0 ? "wanted" : "not wanted"}`,
        onclick: () => { given.weight = -given.weight; restart(); },
      }, given.weight > 0 ? "+" : "−");
      const gone = element("button", {
        type: "button", "aria-label": `Remove ${name}`,
        onclick: () => { images = images.filter((each) => each !== given); restart(); },
      }, "✕");
      return element("span", { class: "chip" }, sign,
        given.image ? element("img", { src: given.image.address, alt: "" }) : null, name, gone);
    }));
  }

  return {
    root,
    address: () => address.hashOf("search", fields()),
    async restore(given) {
      words.value = given.get("q") ?? "";
      within.value = given.get("within") ?? "";
      wide.value = given.get("wide") ?? "";
      sql.value = given.get("sql") ?? "";
      fold.checked = !given.has("each");
      everything = given.has("all");
      hits = Math.min(Number(given.get("k")) || FIRST_HITS, MOST_HITS);
      const asked = await Promise.all(given.getAll("image").map(async (term) => {
        const weight = term.startsWith("-") ? -1 : 1;
        const key = term.slice(1);
        if (key.startsWith("path:")) return { key, path: key.slice(5), weight };
        const image = await fromKey(key);
        return image && { key, image, weight };
      }));
      images = asked.filter(Boolean);
      missing = images.length < asked.length;
      return search();
    },
  };
}

function nameOf(path) {
  return path.split("/").pop();
}
