def report() -> None:
    "placeholder"
