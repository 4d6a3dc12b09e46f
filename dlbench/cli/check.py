def check() -> None:
    "placeholder"
