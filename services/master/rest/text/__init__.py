"""What clients of language models say over HTTP: OpenAI's dialect, TGI's, and the original's."""
