"""A load of streamed completions, on any server that speaks OpenAI's dialect.

One process on uvloop sends requests in a closed or an open loop and notes when every event comes;
``python -m benchmarks.generation load --help`` says what it can be told.
"""
