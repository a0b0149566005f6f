"""What clients of other services get from ours: JSON to stdout.

Usage: http_clients_answers.py URL MODEL IMAGE...; every image is a PNG file.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import cohere
import openai
from infinity_client import Client
from infinity_client.api.default import embeddings as infinity
from infinity_client.models import OpenAIEmbeddingInputImage, OpenAIEmbeddingInputText
from infinity_client.vision_client import InfinityVisionAPI
from langchain_openai import OpenAIEmbeddings
from openai.types import CreateEmbeddingResponse
from PIL import Image

TEXTS = ["a red star", "the digit three and 4"]

url, model, *paths = sys.argv[1:]
files = [Path(each).read_bytes() for each in paths]
uris = ["data:image/png;base64," + base64.b64encode(each).decode() for each in files]
texts, images = {}, {}


def rows(answer):
    return [each.embedding for each in answer.data]


client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused")
create = client.embeddings.create
texts["openai"] = rows(create(model=model, input=TEXTS))
texts["openai, float"] = rows(create(model=model, input=TEXTS, encoding_format="float"))
images["openai"] = rows(create(model=model, input=uris, extra_body={"modality": "image"}))
jina = [{"image": uri} for uri in uris]
images["openai, Jina's objects"] = rows(create(model=model, input=jina))
images["openai, vLLM's messages"] = [
    client.post(
        "/embeddings",
        cast_to=CreateEmbeddingResponse,
        body={
            "model": model,
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}
            ],
        },
    )
    .data[0]
    .embedding
    for uri in uris
]
listed = [each.id for each in client.models.list()]
retrieved = client.models.retrieve(model).model_dump()


async def ask_async():
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused") as own:
        return rows(await own.embeddings.create(model=model, input=TEXTS))


texts["openai, async"] = asyncio.run(ask_async())


def error_of(**changes):
    try:
        create(**{"model": model, "input": TEXTS, **changes})
    except openai.APIStatusError as error:
        return [type(error).__name__, error.param, error.code]


errors = {
    "bad item": error_of(input=["a star", ""]),
    "token ids": error_of(input=[[1, 2], [3]]),
    "other model": error_of(model="text-embedding-3-small"),
    "width": error_of(dimensions=256),
}
try:
    client.models.retrieve("text-embedding/3-small")
except openai.APIStatusError as error:
    errors["retrieved model"] = [type(error).__name__, error.param, error.code]

client = cohere.ClientV2(api_key="unused", base_url=url)
texts["cohere"] = client.embed(
    model=model, texts=TEXTS, input_type="search_query", embedding_types=["float"]
).embeddings.float_
images["cohere"] = client.embed(
    model=model, images=uris, input_type="image", embedding_types=["float"]
).embeddings.float_
images["cohere, inputs"] = client.embed(
    model=model,
    inputs=[{"content": [{"type": "image_url", "image_url": {"url": uri}}]} for uri in uris],
    input_type="image",
    embedding_types=["float"],
).embeddings.float_
try:
    client.embed(model=model, texts=[""], input_type="search_query")
except cohere.BadRequestError as error:
    errors["cohere, bad item"] = error.body["error"]["param"]

chain = OpenAIEmbeddings(
    model=model, base_url=f"{url}/v1", api_key="unused", check_embedding_ctx_length=False
)
texts["langchain"] = chain.embed_documents(TEXTS)
texts["langchain, query"] = [chain.embed_query(text) for text in TEXTS]

client = Client(base_url=f"{url}/v1", raise_on_unexpected_status=True)
body = OpenAIEmbeddingInputText(input_=TEXTS, model=model)
texts["infinity"] = rows(infinity.sync(client=client, body=body))
images["infinity"] = rows(infinity.sync(client=client, body=OpenAIEmbeddingInputImage(input_=uris)))
client = InfinityVisionAPI(url=f"{url}/v1", model=model)
found, _ = client.embed(model, TEXTS).result()
texts["infinity, vision"] = [row.ravel().tolist() for row in found]
# It sends JPEG files that it writes.
found, _ = client.image_embed(model, [Image.open(each) for each in paths]).result()
jpegs = [row.ravel().tolist() for row in found]

print(
    json.dumps(
        {
            "texts": texts,
            "images": images,
            "jpegs": jpegs,
            "listed": listed,
            "retrieved": retrieved,
            "errors": errors,
        }
    )
)
