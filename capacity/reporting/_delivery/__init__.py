"""Finished reports on their way to people: mail, chat, webhooks, a folder or an object store."""
