"""What a language model's text is made of: tokens, their bytes, templates of chats."""
