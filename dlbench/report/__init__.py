"""The self-contained HTML report, rebuilt from documents at any time."""
