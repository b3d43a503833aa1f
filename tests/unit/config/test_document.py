"""`conf/provider.toml` and `docs/settings.md` are current, and have every setting that is read."""

from collections import Counter

from provider.config import document, load
from provider.config.document import FILE, PAGE, declared
from provider.config.load import load_settings
from provider.config.reader import Reader
from tests.unit.config.test_settings import SINGLE

SETTINGS = list(declared())


def test_both_documents_are_current() -> None:
    advice = "run python -m provider.config.document"
    assert FILE.read_text() == document.file(), advice
    assert PAGE.read_text() == document.page(), advice


def test_every_setting_that_is_read_is_in_the_documents(monkeypatch) -> None:
    readers = []

    class Seen(Reader):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            readers.append(self)

    monkeypatch.setattr(load, "Reader", Seen)
    load_settings(SINGLE, str(FILE))
    # A second name of PROVIDER_WORKERS, told there.
    assert {setting.variable for setting in SETTINGS} == readers[0].known_variables - {"OCEAN_PROVIDER_WORKERS"}


def test_every_setting_has_one_variable_one_key_and_a_sentence() -> None:
    for names in ([setting.variable for setting in SETTINGS], [setting.key for setting in SETTINGS]):
        assert [name for name, times in Counter(names).items() if times > 1] == []
    for setting in SETTINGS:
        assert setting.help.endswith("."), setting.variable
        assert setting.key in document.page() or setting.key.partition(".")[2] in document.page()


def test_every_default_is_a_value_that_would_be_accepted() -> None:
    for setting in SETTINGS:
        if setting.shown is not None:
            assert setting.parse(setting.shown) == setting.default, setting.variable
