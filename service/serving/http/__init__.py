"""The HTTP service behind its application: bodies, problem documents, and what each route does."""
