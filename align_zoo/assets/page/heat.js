// Where in an image a text is seen: the shares of the image's places, drawn over the image.

import { dataOf } from "./images.js";
import { ask } from "./service.js";

const SIDE = 192;
const OPAQUE = 0.85;
const GAMMA = 0.75;
// By rising strength, as Heatmap.overlay of the library has them.
const RAMP = [[255, 237, 153], [245, 153, 51], [219, 66, 51], [128, 13, 92]];
const FOR = [[255, 222, 178], [184, 66, 0]];
const AGAINST = [[196, 227, 255], [0, 102, 199]];

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

/** The shares of the difference of two cosines: they are sums, so theirs is that of the shares. */
export function difference(heat, other) {
  return {
    ...heat,
    score: heat.score - other.score,
    shares: heat.shares.map((row, i) => row.map((share, j) => share - other.shares[i][j])),
    signed: true,
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

/** The part of the image that the tower sees, in colours: of one text none for shares below 0. */
function colours({ shares, part: [left, top, right, bottom], rows, columns, signed }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(SIDE, SIDE);
  const most = Math.max(...shares.flat().map((share) => (signed ? Math.abs(share) : share)));
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
      const size = signed ? Math.abs(share) : Math.max(share, 0);
      const strength = most > 0 ? Math.min(size / most, 1) : 0;
      const ramp = signed ? (share > 0 ? FOR : AGAINST) : RAMP;
      pixels.data.set([...colour(strength, ramp), 255 * OPAQUE * strength ** GAMMA], 4 * (i * SIDE + j));
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

function colour(strength, ramp) {
  const at = strength * (ramp.length - 1);
  const i = Math.min(Math.floor(at), ramp.length - 2);
  return ramp[i].map((band, j) => band + (ramp[i + 1][j] - band) * (at - i));
}
