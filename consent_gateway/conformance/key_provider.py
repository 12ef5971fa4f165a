# ruff: noqa: S101 - asserting is what a suite is for
"""What every `ports.KeyProvider` must do; each test's docstring is one clause of the contract."""

from concurrent.futures import ThreadPoolExecutor

from consent_gateway.conformance.refusal import refused
from consent_gateway.errors import Conflict, KeysUnavailable, NotFound
from consent_gateway.ports import KeyProvider, KeyProviderCapabilities

_MOST_PAIRS = 2001  # enough to pass the batch of a provider behind a network; one without has no need of batches


class KeyProviderConformance:
    """What every `ports.KeyProvider` must do."""

    def make_provider(self) -> KeyProvider:
        """A provider with fresh root keys of its own."""
        raise NotImplementedError

    def lose(self, provider: KeyProvider) -> None:
        """Make what holds this provider's root keys unreachable, as a network or a disk that fails does."""
        raise NotImplementedError

    def test_what_was_wrapped_can_be_unwrapped(self) -> None:
        """`unwrap` gives back the very bytes under the same context, which may be empty."""
        provider = self.make_provider()
        for key, context in ((b"k" * 32, b"person:1"), (b"\x00" * 16, b""), (bytes(range(64)), b"\xff\x00")):
            wrapped = provider.wrap(key, context)
            assert key not in wrapped
            assert provider.unwrap(wrapped, context) == key

    def test_wrapping_twice_differs(self) -> None:
        """Two wraps of one key are different, so that equal keys do not show."""
        provider = self.make_provider()
        assert provider.wrap(b"k" * 32, b"c") != provider.wrap(b"k" * 32, b"c")

    def test_another_context_is_refused(self) -> None:
        """Where context binding is declared, unwrapping under another context raises `KeysUnavailable`."""
        provider = self.make_provider()
        if not provider.describe().context_binding:
            return
        wrapped = provider.wrap(b"k" * 32, b"person:1")
        for context in (b"person:2", b"person:1 ", b""):
            refused(KeysUnavailable, lambda context=context: provider.unwrap(wrapped, context))  # type: ignore[misc]

    def test_damage_is_refused(self) -> None:
        """What was altered, cut or never wrapped raises `KeysUnavailable`."""
        provider = self.make_provider()
        wrapped = provider.wrap(b"k" * 32, b"c")
        flipped = bytes([*wrapped[:-1], wrapped[-1] ^ 1])
        for damaged in (flipped, wrapped[:-1], wrapped + b"\x00", b"", b"no wrap at all"):
            refused(KeysUnavailable, lambda damaged=damaged: provider.unwrap(damaged, b"c"))  # type: ignore[misc]

    def test_another_provider_cannot_unwrap(self) -> None:
        """A wrap belongs to the root keys it was made with."""
        wrapped = self.make_provider().wrap(b"k" * 32, b"c")
        other = self.make_provider()
        refused(KeysUnavailable, lambda: other.unwrap(wrapped, b"c"))

    def test_many_are_unwrapped_in_order(self) -> None:
        """`unwrap_many` gives the keys in the order of the pairs, none for none."""
        provider = self.make_provider()
        keys = [bytes([n]) * 32 for n in range(20)]
        pairs = [(provider.wrap(key, b"c%d" % n), b"c%d" % n) for n, key in enumerate(keys)]
        assert list(provider.unwrap_many(pairs)) == keys
        assert list(provider.unwrap_many(pairs[::-1])) == keys[::-1]
        assert list(provider.unwrap_many([])) == []

    def test_one_bad_pair_among_many_is_refused(self) -> None:
        """`unwrap_many` raises `KeysUnavailable` for a pair that cannot be opened and never skips it."""
        provider = self.make_provider()
        good = (provider.wrap(b"k" * 32, b"c"), b"c")
        refused(KeysUnavailable, lambda: list(provider.unwrap_many([good, (b"damaged", b"c"), good])))

    def test_more_than_a_batch_is_unwrapped(self) -> None:
        """`unwrap_many` takes any number of pairs; a provider with a limit cuts them into batches itself."""
        provider = self.make_provider()
        first, last = (provider.wrap(b"f" * 32, b"1"), b"1"), (provider.wrap(b"l" * 32, b"2"), b"2")
        many = min(2 * provider.describe().batch_size + 1, _MOST_PAIRS)
        assert list(provider.unwrap_many([first] * many + [last])) == [b"f" * 32] * many + [b"l" * 32]
        refused(KeysUnavailable, lambda: list(provider.unwrap_many([first] * many + [(first[0], b"other")])))

    def test_rotation_keeps_what_is_old_readable(self) -> None:
        """After `rotate` older wraps still open; versions only go up."""
        provider = self.make_provider()
        before = provider.wrap(b"k" * 32, b"c")
        first = provider.rotate()
        second = provider.rotate()
        assert second > first
        assert provider.unwrap(before, b"c") == b"k" * 32
        assert provider.unwrap(provider.wrap(b"n" * 32, b"c"), b"c") == b"n" * 32

    def test_versions_are_told(self) -> None:
        """`versions` names what still unwraps, ascending, the present one last, and follows every change."""
        provider = self.make_provider()
        (only,) = provider.versions()
        new = provider.rotate()
        assert provider.versions() == (only, new)
        provider.retire(only)
        assert provider.versions() == (new,)

    def test_a_retired_version_is_gone_for_good(self) -> None:
        """What a retired version wrapped raises `KeysUnavailable`; what later versions wrapped still opens."""
        provider = self.make_provider()
        first = provider.wrap(b"f" * 32, b"c")
        provider.rotate()
        old = provider.wrap(b"k" * 32, b"c")
        provider.rotate()
        new = provider.wrap(b"n" * 32, b"c")
        for version in provider.versions()[:-1]:
            provider.retire(version)
        for gone in (first, old):
            refused(KeysUnavailable, lambda gone=gone: provider.unwrap(gone, b"c"))  # type: ignore[misc]
        refused(KeysUnavailable, lambda: list(provider.unwrap_many([(new, b"c"), (old, b"c")])))
        assert provider.unwrap(new, b"c") == b"n" * 32

    def test_the_versions_are_those_that_unwrap(self) -> None:
        """`versions` ascends, ends with the one `rotate` made last, and loses the one that was retired."""
        provider = self.make_provider()
        before = provider.versions()
        new = provider.rotate()
        assert list(provider.versions()) == [*before, new] == sorted(provider.versions())
        provider.retire(before[-1])
        assert list(provider.versions()) == [*before[:-1], new]

    def test_the_present_version_is_never_retired(self) -> None:
        """Retiring the present version raises `Conflict`, a version that is not there `NotFound`; nothing changes."""
        provider = self.make_provider()
        wrapped = provider.wrap(b"k" * 32, b"c")
        present = provider.versions()[-1]
        refused(Conflict, lambda: provider.retire(present))
        for missing in (0, present + 1, present + 1000):
            refused(NotFound, lambda missing=missing: provider.retire(missing))  # type: ignore[misc]
        new = provider.rotate()
        refused(Conflict, lambda: provider.retire(new))
        provider.retire(present)
        refused(NotFound, lambda: provider.retire(present))
        assert provider.versions() == (new,)
        refused(KeysUnavailable, lambda: provider.unwrap(wrapped, b"c"))

    def test_a_version_number_is_never_used_again(self) -> None:
        """A new version is higher than every one before it, retired ones too."""
        provider = self.make_provider()
        seen = set(provider.versions())
        for _ in range(3):
            old, new = provider.versions()[-1], provider.rotate()
            assert new > max(seen)
            seen.add(new)
            provider.retire(old)
        assert provider.versions() == (max(seen),)

    def test_many_threads_use_it_at_once(self) -> None:
        """Threads wrap and unwrap while another rotates, and every one of them gets its own key back."""
        provider = self.make_provider()

        def use(number: int) -> bool:
            if number % 8 == 0:
                return provider.rotate() in provider.versions()
            key, context = bytes([number]) * 32, b"c%d" % number
            return provider.unwrap(provider.wrap(key, context), context) == key

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(use, range(32)))

    def test_a_provider_that_is_away_is_named(self) -> None:
        """Where the root keys cannot be reached every use raises `KeysUnavailable`, within the provider's time-out."""
        provider = self.make_provider()
        wrapped = provider.wrap(b"k" * 32, b"c")
        self.lose(provider)
        calls = (
            lambda: provider.wrap(b"k" * 32, b"c"),
            lambda: provider.unwrap(wrapped, b"c"),
            lambda: list(provider.unwrap_many([(wrapped, b"c")])),
            provider.versions,
            provider.rotate,
        )
        for call in calls:
            refused(KeysUnavailable, call)

    def test_the_provider_says_what_it_promises(self) -> None:
        """`describe` declares its capabilities, the same at every call."""
        provider = self.make_provider()
        promised = provider.describe()
        assert isinstance(promised, KeyProviderCapabilities)
        assert promised == provider.describe()
        assert promised.kind
        assert promised.batch_size >= 1
        assert promised.destruction_delay_days >= 0
