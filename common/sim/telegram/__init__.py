"""A double of Telegram's Bot API, as strict as the real one where that matters, and as unkind on request."""
