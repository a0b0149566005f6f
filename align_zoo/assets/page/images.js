// Images from the user: dropped, pasted, chosen, taken by the camera, or an example.

import { element, openDialog } from "./dom.js";
import { exampleAddress, EXAMPLES } from "./examples.js";

const dropped = new Map();
let count = 0;

/** {key, name, address, blob}: the key stands in the page's address. */
function remembered(key, name, blob) {
  const image = { key, name, blob, address: URL.createObjectURL(blob) };
  dropped.set(key, image);
  return image;
}

export function fromFile(file) {
  return remembered(`file:${++count}:${file.name}`, file.name, file);
}

/** The image of a key: an example, or one that was given since the page was loaded. */
export async function fromKey(key) {
  if (dropped.has(key)) return dropped.get(key);
  const name = /^example:([\w-]+)$/.exec(key)?.[1];
  const source = name && exampleAddress(name);
  if (!source) return null;
  const response = await fetch(source);
  if (!response.ok) return null;
  return Object.assign(remembered(key, `${name}.png`, await response.blob()), { source });
}

/** The image as a data URI, as the service takes it. */
export function dataOf(image) {
  image.data ??= new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.replace(/^data:[^,]*;base64,|^data:[^,]*,|^data:$/, (head) =>
      head.includes("image/") ? head : "data:application/octet-stream;base64,"));
    reader.onerror = () => reject(new Error(`${image.name} cannot be read any more: give it again`));
    reader.readAsDataURL(image.blob);
  });
  return image.data;
}

/** The strip of examples; `choose` gets a key. */
export function exampleStrip(choose) {
  const buttons = EXAMPLES.map((name) => element("button",
    { type: "button", title: name, onclick: () => choose(`example:${name}`) },
    element("img", { src: exampleAddress(name), alt: `Example ${name}`, loading: "lazy" })));
  return element("div", { class: "examples", role: "group", "aria-label": "Example images" }, buttons);
}

/** Buttons to choose files and to take a photo; `give` gets files. */
export function sources(give, several = false) {
  const input = element("input", {
    type: "file", accept: "image/*,.heic,.tif,.tiff", multiple: several, hidden: true,
    "aria-label": "Image file",
    onchange: () => { give([...input.files]); input.value = ""; },
  });
  const choose = element("button", { type: "button", class: "quiet", onclick: () => input.click() },
    several ? "Choose images" : "Choose an image");
  const camera = element("button", { type: "button", class: "quiet", onclick: () => takePhoto(give) },
    "Camera");
  return [choose, navigator.mediaDevices ? camera : null, input];
}

/** Takes files that are dropped on `target`, and those that are pasted while `target` is shown. */
export function acceptDrops(target, give) {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) give(files, null);
    else if (event.dataTransfer.getData(PATH)) give([], event.dataTransfer.getData(PATH));
  });
  const paste = (event) => {
    if (!target.isConnected) return removeEventListener("paste", paste);
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      give(files, null);
    }
  };
  addEventListener("paste", paste);
}

/** The kind of a dragged image of the collection: its path. */
export const PATH = "application/x-align-path";

async function takePhoto(give) {
  const video = element("video", { autoplay: true, playsInline: true, muted: true });
  const note = element("p", { class: "note", role: "status" }, "Waiting for the camera ...");
  const take = element("button", { type: "button", class: "strong", disabled: true }, "Take the photo");
  const dialog = openDialog("Camera", video, note, take);
  let stream;
  dialog.addEventListener("close", () => stream?.getTracks().forEach((track) => track.stop()));
  take.addEventListener("click", () => {
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      give([new File([blob], `photo-${count + 1}.png`, { type: "image/png" })]);
      dialog.close();
    }, "image/png");
  });
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
    if (!dialog.isConnected) return stream.getTracks().forEach((track) => track.stop());
    video.srcObject = stream;
    video.onloadedmetadata = () => { take.disabled = false; note.textContent = ""; };
  } catch (error) {
    note.textContent = `There is no camera to use: ${error.message}`;
  }
}
