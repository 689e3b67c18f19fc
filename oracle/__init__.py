"""Exactum: verifiable AI inference for contracts on any EVM chain."""
