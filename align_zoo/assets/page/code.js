// What is shown, as a command and as a program: the same request, to copy.

import { element, openDialog } from "./dom.js";

const MARK = "\u0001";

/** Stands for the base64 of a file in a body that is shown. */
export function fileMark(image) {
  return `${MARK}${image.name}${MARK}`;
}

/** A button that opens the request; `request` returns {path, body, images} or null. */
export function codeButton(request) {
  return element("button", { type: "button", class: "quiet", onclick: () => open(request()) },
    "As code");
}

function open(request) {
  const output = element("pre", { tabindex: 0, "aria-label": "The request" });
  const done = element("span", { role: "status", class: "note" });
  const forms = { curl: asCurl, Python: asPython };
  const tabs = Object.entries(forms).map(([name, form]) => {
    const button = element("button", { type: "button", onclick: () => choose(button, form) }, name);
    return button;
  });
  function choose(button, form) {
    for (const each of tabs) each.setAttribute("aria-pressed", each === button);
    output.textContent = form(request);
    done.textContent = "";
  }
  const copy = element("button", {
    type: "button", class: "strong",
    onclick: async () => {
      await navigator.clipboard.writeText(output.textContent);
      done.textContent = "Copied.";
    },
  }, "Copy");
  choose(tabs[0], forms.curl);
  openDialog("As code", element("div", { class: "row segmented" }, tabs), output,
    element("div", { class: "row" }, done, copy));
}

function addressOf(path) {
  return new URL(path, document.baseURI).href;
}

function examples(images) {
  return images.filter((image) => image.source)
    .map((image) => [image.name, addressOf(image.source)]);
}

export function asCurl({ path, body, images }) {
  const json = JSON.stringify(body, null, 2).replace(/[\\$`]/g, "\\$&")
    .replace(marks("\\\\u0001"), (_, name) => `"$(base64 < ${quoted(unescaped(name))} | tr -d '\\n')"`);
  const lines = examples(images).map(([name, address]) => `curl -s -o ${quoted(name)} ${address}`);
  lines.push(`curl -s ${addressOf(path)} -H "Content-Type: application/json" --data-binary @- <<END`);
  return `${[...lines, json, "END"].join("\n")}\n`;
}

export function asPython({ path, body, images }) {
  const literal = pythonOf(body).replace(marks("\\u0001"), (_, name) => `base64_of("${name}")`);
  const fetched = examples(images).map(([name, address]) =>
    `urllib.request.urlretrieve("${address}", "${name}")\n`);
  return `import base64
import json
import urllib.request


def base64_of(path):
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


${fetched.join("")}body = ${literal}
request = urllib.request.Request(
    "${addressOf(path)}",
    json.dumps(body).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    print(json.dumps(json.load(answer), indent=2))
`;
}

/** The marks in JSON: JSON.stringify writes a control character as \u0001. */
function marks(escape) {
  const literal = escape.replaceAll("\\", "\\\\");
  return new RegExp(`"?${literal}(.*?)${literal}"?`, "g");
}

function unescaped(name) {
  return JSON.parse(`"${name.replace(/\\([\\$`])/g, "$1")}"`);
}

function quoted(word) {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** JSON as Python writes it: strings and numbers are spelled alike. */
function pythonOf(value, indent = "") {
  const deeper = `${indent}    `;
  if (Array.isArray(value)) {
    return `[\n${value.map((each) => `${deeper}${pythonOf(each, deeper)},\n`).join("")}${indent}]`;
  }
  if (value && typeof value === "object") {
    const lines = Object.entries(value).map(([name, each]) =>
      `${deeper}${JSON.stringify(name)}: ${pythonOf(each, deeper)},\n`);
    return `{\n${lines.join("")}${indent}}`;
  }
  return { true: "True", false: "False", null: "None" }[value] ?? JSON.stringify(value);
}
