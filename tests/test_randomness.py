from hir.randomness import derive_seed, generator


def test_the_seed_never_changes() -> None:
    # The first 16 hex digits of `printf 1/2/3/sampling | sha256sum`, halved. Another number here means that
    # resumed runs of earlier versions no longer continue as they were.
    assert derive_seed(1, 2, 3, "sampling") == 6513378482055743984


def test_every_part_matters() -> None:
    parts = [(1, 2, 3, "a"), (2, 2, 3, "a"), (1, 3, 3, "a"), (1, 2, 4, "a"), (1, 2, 3, "b"), (12, 3, 0, "a"),
             (1, 23, 0, "a"), (3, 2, 1, "a")]  # fmt: skip
    assert len({derive_seed(*part) for part in parts}) == len(parts)


def test_seeds_fit_into_63_bits_and_use_them() -> None:
    seeds = [derive_seed(seed, 0, 0, "x") for seed in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) >= 2**62  # torch.manual_seed takes 64 bits signed, and none is wasted


def test_generators_of_one_purpose_agree_and_of_two_differ() -> None:
    first, again, other = (generator(1, 0, 0, purpose) for purpose in ("plan", "plan", "relabel"))
    draws = [first.random() for _ in range(5)]
    assert draws == [again.random() for _ in range(5)]
    assert draws != [other.random() for _ in range(5)]
