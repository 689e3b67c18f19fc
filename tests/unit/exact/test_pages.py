import ctypes

from oracle.exact.pages import keep_pages


def test_keep_pages_does_nothing_when_the_c_library_is_another_one(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    keep_pages()
