"""Agents of a language model, started as MindSpore's llm-serving started them."""
