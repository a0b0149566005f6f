"""What LlamaIndex's embeddings get from a server: JSON to stdout.

Usage: llama_index_answers.py URL TEXTS IMAGES; both lists as JSON, images by their paths.
"""

import asyncio
import io
import json
import sys
from pathlib import Path

from align_zoo.integrations.llama_index import AlignEmbedding

url, texts, images = sys.argv[1], *map(json.loads, sys.argv[2:])
align = AlignEmbedding(url, embed_batch_size=2, options={"timeout": 60})


async def each(method, items):
    return await asyncio.gather(*map(method, items))


def files():
    return [io.BytesIO(Path(path).read_bytes()) for path in images]


saved = align.to_dict()
print(
    json.dumps(
        {
            "texts": {
                "texts": align.get_text_embedding_batch(texts),
                "text": [align.get_text_embedding(text) for text in texts],
                "queries": [align.get_query_embedding(text) for text in texts],
                "texts, async": asyncio.run(align.aget_text_embedding_batch(texts)),
                "text, async": asyncio.run(each(align.aget_text_embedding, texts)),
                "queries, async": asyncio.run(each(align.aget_query_embedding, texts)),
                "saved": AlignEmbedding.from_dict(saved).get_text_embedding_batch(texts),
            },
            "images": {
                "images": align.get_image_embedding_batch(images),
                "image": [align.get_image_embedding(path) for path in images],
                "files": align.get_image_embedding_batch(files()),
                "images, async": asyncio.run(align.aget_image_embedding_batch(images)),
                "image, async": asyncio.run(each(align.aget_image_embedding, files())),
            },
            "saved": sorted(key for key in saved if key in ("url", "options", "timeout")),
        }
    )
)
