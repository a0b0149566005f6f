"""What LangChain's embeddings get from a server: JSON to stdout.

Usage: langchain_answers.py URL TEXTS IMAGES; both lists as JSON, images by their paths.
"""

import asyncio
import json
import pickle
import sys

from langchain_core.embeddings import Embeddings
from PIL import Image

from align_zoo.integrations.langchain import AlignEmbeddings

url, texts, images = sys.argv[1], *map(json.loads, sys.argv[2:])
align = AlignEmbeddings(url)
assert isinstance(align, Embeddings)


async def each(method, items):
    return await asyncio.gather(*map(method, items))


print(
    json.dumps(
        {
            "texts": {
                "documents": align.embed_documents(texts),
                "queries": [align.embed_query(text) for text in texts],
                "documents, async": asyncio.run(align.aembed_documents(texts)),
                "queries, async": asyncio.run(each(align.aembed_query, texts)),
                "pickled": pickle.loads(pickle.dumps(align)).embed_documents(texts),
            },
            "images": {
                "paths": align.embed_image(images),
                "PIL": align.embed_image([Image.open(path) for path in images]),
                "async": asyncio.run(align.aembed_image(images)),
            },
            "nothing": [align.embed_documents([]), asyncio.run(align.aembed_image([]))],
        }
    )
)
