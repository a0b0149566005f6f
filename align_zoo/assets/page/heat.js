// Where in an image a text is seen: the shares of the image's places, drawn over the image.

import { dataOf } from "./images.js";
import { ask } from "./service.js";

const SIDE = 192;
const OPAQUE = 0.85;
const GAMMA = 0.75;
// By rising strength, as Heatmap.overlay of the library has them.
const RAMP = [[255, 237, 153], [252, 173, 64], [227, 74, 51], [128, 13, 92]];

/** The heat maps of an image: asked for several labels at once, and for each once. */
export function heatOf(image) {
  const known = new Map();
  return async (labels, prompts, signal) => {
    const key = (label) => JSON.stringify([label, prompts]);
    if (!known.has(key(labels[0]))) {
      const texts = [...new Set(labels)].filter((each) => !known.has(key(each)));
      const body = { image: await dataOf(image), texts, ...prompts };
      const { data, ...places } = await ask("v1/heatmap", body, signal);
      for (const each of data) known.set(key(each.text), { ...each, ...places });
    }
    return known.get(key(labels[0]));
  };
}

/** Draws a heat map on a canvas that lies over an <img> with object-fit: contain. */
export function drawHeat(canvas, img, heat) {
  const box = img.getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  canvas.width = box.width * ratio;
  canvas.height = box.height * ratio;
  const scale = Math.min(canvas.width / img.naturalWidth, canvas.height / img.naturalHeight);
  const [width, height] = [img.naturalWidth * scale, img.naturalHeight * scale];
  const [x, y] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
  const [left, top, right, bottom] = heat.part;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(colours(heat), x + left * width, y + top * height,
    (right - left) * width, (bottom - top) * height);
}

/** The part of the image that the tower sees, in colours: none for shares of 0 and less. */
function colours({ shares, part: [left, top, right, bottom], rows, columns }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(SIDE, SIDE);
  const most = Math.max(...shares.flat());
  const across = Array.from({ length: SIDE }, (_, j) =>
    between(columns, left + (right - left) * (j + 0.5) / SIDE));
  for (let i = 0; i < SIDE; i++) {
    const [row, down] = between(rows, top + (bottom - top) * (i + 0.5) / SIDE);
    const below = Math.min(row + 1, rows.length - 1);
    for (let j = 0; j < SIDE; j++) {
      const [column, right] = across[j];
      const beside = Math.min(column + 1, columns.length - 1);
      const share = (shares[row][column] * (1 - right) + shares[row][beside] * right) * (1 - down)
        + (shares[below][column] * (1 - right) + shares[below][beside] * right) * down;
      const strength = most > 0 ? Math.min(Math.max(share / most, 0), 1) : 0;
      pixels.data.set([...colour(strength), 255 * OPAQUE * strength ** GAMMA], 4 * (i * SIDE + j));
    }
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

/** The centre before a place, and the part of the way to the next one, eased. */
function between(centres, at) {
  const next = centres.findIndex((centre) => centre > at);
  if (next === 0) return [0, 0];
  if (next < 0) return [centres.length - 1, 0];
  const way = (at - centres[next - 1]) / (centres[next] - centres[next - 1]);
  return [next - 1, way * way * (3 - 2 * way)];
}

function colour(strength) {
  const at = strength * (RAMP.length - 1);
  const i = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[i].map((band, j) => band + (RAMP[i + 1][j] - band) * (at - i));
}
