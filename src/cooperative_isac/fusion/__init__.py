"""Fusion of reports of several stations: association, estimation, rejection of false alarms."""
