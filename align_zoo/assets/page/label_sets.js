// Lists of labels and of prompts to begin with.

const COLOURS = ["red", "green", "blue", "orange", "purple", "yellow"];
const SHAPES = ["star", "ring", "triangle", "circle", "square", "cross"];
const DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

const article = (words) => `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;

export const LABEL_SETS = {
  "Coloured shapes": SHAPES.flatMap((shape, i) => [0, 1].map((step) =>
    article(`${COLOURS[(i + 3 * step) % 6]} ${shape}`))),
  "Emoji": ["rocket", "bicycle", "octopus", "mushroom", "red apple", "hot beverage", "crying cat",
    "lady beetle", "smiling face with sunglasses", "umbrella with rain drops", "airplane", "guitar",
    "pizza", "sunflower", "soccer ball", "house", "snowman", "red heart"],
  "Handwritten digits": DIGITS.map((digit) => `the digit ${digit}`),
  "Kinds of images": ["a photo", "a drawing", "a painting", "a screenshot", "a chart", "a map",
    "a scanned document", "a logo"],
  "Places": ["a beach", "a forest", "mountains", "a city street", "a kitchen", "an office",
    "a living room", "a stadium", "the night sky"],
  "Animals": ["a dog", "a cat", "a bird", "a horse", "a fish", "an insect", "no animal"],
};

/** Sets of prompts: the templates, or the name under which the service has them. */
export const PROMPT_SETS = {
  "The label alone": ["{}"],
  "Photos": ["a photo of {}", "a blurry photo of {}", "a close-up of {}"],
  "Drawings": ["a drawing of {}", "a painting of {}", "a sketch of {}"],
  "CLIP's 80 for ImageNet": "imagenet",
};
