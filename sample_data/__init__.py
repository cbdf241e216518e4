"""Synthetic sample slide and demonstration models, shipped with the package.

Everything here is made by the scripts in this folder; nothing is downloaded and
nothing shows a patient.
"""
