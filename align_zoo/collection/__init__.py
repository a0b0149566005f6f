"""Collections: a person's images, embedded once, searched by words and images."""
