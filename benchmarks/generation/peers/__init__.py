"""Other servers of language models, which continue the same texts with the same weights."""
