"""A hosted demonstration in Gradio: labels of an image, and where the best one is seen."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from PIL import Image

import align_zoo

ENCODER = align_zoo.load_encoder(os.environ.get("ALIGN_ZOO_MODEL", "align_tiny"))
SHOWN = 10


def classify(image: Image.Image | None, labels: str, prompt: str):
    """Return the labels with their probabilities, and the heat map of the best."""
    names = [line.strip() for line in labels.splitlines() if line.strip()]
    if image is None or not names:
        raise gr.Error("Give an image, and at least one label.")
    try:
        found = ENCODER.classify(image, names, template=prompt, top_k=SHOWN)
        best = prompt.replace("{}", found[0].label)
        overlay = align_zoo.heatmap(ENCODER, image, best).overlay()
    except align_zoo.AlignZooError as error:
        raise gr.Error(str(error)) from error
    return {each.label: each.score for each in found}, overlay


with gr.Blocks(title="align-zoo", analytics_enabled=False) as app:
    gr.Markdown("# ALIGN: which label fits, and where it is seen")
    with gr.Row():
        with gr.Column():
            image = gr.Image(type="pil", label="Image")
            labels = gr.Textbox("a red star\na green ring", lines=8, label="Labels, one a line")
            prompt = gr.Textbox("{}", label="Prompt; {} is replaced by the label")
            button = gr.Button("Classify", variant="primary")
        with gr.Column():
            scores = gr.Label(num_top_classes=SHOWN, label="Probabilities")
            heat = gr.Image(label="Where the best label is seen")
    button.click(classify, [image, labels, prompt], [scores, heat], api_name="classify")

if __name__ == "__main__":
    app.launch()
