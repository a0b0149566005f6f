"""What FiftyOne gets from our model: JSON to stdout.

Usage: fiftyone_answers.py TEXTS IMAGES; both lists as JSON, images by their paths.
"""

import json
import sys

import fiftyone as fo
import fiftyone.brain as fob

from align_zoo.integrations.fiftyone import AlignModel

texts, images = map(json.loads, sys.argv[1:])
model = AlignModel("align_tiny", classes=texts)
dataset = fo.Dataset()
dataset.add_samples([fo.Sample(filepath=path) for path in images])
dataset.compute_embeddings(model, embeddings_field="each", skip_failures=False)
dataset.compute_embeddings(model, embeddings_field="batch", batch_size=2, skip_failures=False)
for field, size in (("label", None), ("labels", 2)):
    dataset.apply_model(model, label_field=field, batch_size=size, skip_failures=False)
fob.compute_similarity(dataset, model=model, embeddings="batch", brain_key="align")
print(
    json.dumps(
        {
            "images": {
                "one by one": [row.tolist() for row in dataset.values("each")],
                "batches": [row.tolist() for row in dataset.values("batch")],
            },
            "texts": {
                "one by one": [model.embed_prompt(text).tolist() for text in texts],
                "batches": model.embed_prompts(texts).tolist(),
            },
            "labels": {
                "one by one": dataset.values("label.label"),
                "batches": dataset.values("labels.label"),
            },
            "found": [
                dataset.sort_by_similarity(text, brain_key="align", k=1).first().filepath
                for text in texts
            ],
        }
    )
)
