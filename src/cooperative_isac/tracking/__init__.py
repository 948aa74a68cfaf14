"""Detections to continuous tracks: motion models, filters, association, track life."""
