"""Experiments on random frames and live runs: figures, tables, pictures and reports."""
