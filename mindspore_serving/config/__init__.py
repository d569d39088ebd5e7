"""How MindSpore's llm-serving was configured, and what each field does here."""
