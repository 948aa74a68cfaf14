"""Figures of the deep-cooperation paper, measured by Monte Carlo runs of the estimators alone."""
