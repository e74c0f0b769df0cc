"""Epoch managers: who should try to lead. Each is one module that passes one conformance suite."""

from conductor.epochs.factory import create_epoch_manager

__all__ = ["create_epoch_manager"]
