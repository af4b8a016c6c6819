from hir.randomness import derive_seed, generator


def test_the_seed_never_changes() -> None:
    # The first 16 hex digits of `printf 1/2/3/sampling | sha256sum`, halved. Another number here means that
    # resumed runs of earlier versions no longer continue as they were.
    assert derive_seed(1, 2, 3, "sampling") == 6513378482055743984


def test_every_part_matters() -> None:
    parts = [(1, 2, 3, "a"), (2, 2, 3, "a"), (1, 3, 3, "a"), (1, 2, 4, "a"), (1, 2, 3, "b"), (12, 3, 0, "a"),
             (1, 23, 0, "a"), (3, 2, 1, "a")]  # fmt: skip
    assert len({derive_seed(*part) for part in parts}) == len(parts)
    draws = [generator(*part).random() for part in parts]
    assert draws == [generator(*part).random() for part in parts] and len({*draws}) == len(parts)
