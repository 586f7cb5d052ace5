"""Ids to answers: the model folder, the classifier, batch scoring, the HTTP service.

Imports `vocab` only. Knows nothing of how a model is trained.
"""
