// The examples of the page: shipped images of what the served model knows, and the first questions.

import { LABEL_SETS } from "./label_sets.js";

const SHAPES = ["red-star", "green-ring", "blue-triangle", "orange-circle", "purple-square",
  "yellow-cross", "digit-0", "digit-2", "digit-3", "digit-5", "digit-6"];
const EMOJI = ["rocket", "bicycle", "octopus", "mushroom", "red-apple", "hot-beverage",
  "crying-cat", "lady-beetle", "smiling-face-with-sunglasses", "umbrella-with-rain-drops"];
const OF_EMOJI = document.documentElement.dataset.examples === "emoji";

/** Names of examples, those that fit the model first. */
export const EXAMPLES = OF_EMOJI ? EMOJI : SHAPES;
const FOLDERS = [[SHAPES, "page/samples/"], [EMOJI, "page/emoji/"]];

/** Where an example is; undefined if there is none of that name. */
export function exampleAddress(name) {
  const found = FOLDERS.find(([names]) => names.includes(name));
  return found && `${found[1]}${name}.png`;
}

export const FIRST = OF_EMOJI ? {
  image: "rocket", labels: LABEL_SETS.Emoji,
  images: ["rocket", "octopus", "red-apple", "bicycle"],
  texts: ["rocket", "octopus", "red apple", "bicycle"],
} : {
  image: "red-star", labels: LABEL_SETS["Coloured shapes"],
  images: ["red-star", "green-ring", "blue-triangle", "digit-3"],
  texts: ["a red star", "a green ring", "a blue triangle", "the digit three"],
};
