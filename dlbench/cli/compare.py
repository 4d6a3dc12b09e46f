def compare() -> None:
    "placeholder"
