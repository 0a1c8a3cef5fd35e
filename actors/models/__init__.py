"""Real open-weight models behind the roles: one file per model family. Only these modules import torch."""
