"""HTTP as users' tools speak it: embeddings in four spellings, and labels of images."""
