"""The rules of the tree that no type checker holds: who imports whom, who reads the environment, broad excepts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROVIDER = Path(__file__).parents[2] / "provider"
FILES = sorted(PROVIDER.rglob("*.py"))

# Room → rooms it may import. Data flows down this list; a room never imports what stands below it.
FOUNDATION = {"__version__", "errors", "keccak", "start_error"}
ALLOWED: dict[str, set[str]] = {
    "__version__": set(),
    "errors": set(),
    "keccak": set(),
    "start_error": set(),
    "redaction": set(),
    "logs": {"redaction"},
    "pulse": set(),
    "settings": FOUNDATION | {"keystore", "shared", "tls"},
    "metrics": FOUNDATION,
    "cache": FOUNDATION,
    "service_client": FOUNDATION,
    "shared": FOUNDATION | {"cache"},
    "sqlite": FOUNDATION,
    "keystore": FOUNDATION,
    "tls": FOUNDATION,
    "last_connections": set(),
    "http1": FOUNDATION,
    "tls_listener": FOUNDATION | {"admission", "http1", "tls"},
    "admission": FOUNDATION,
    "chain": FOUNDATION | {"keystore", "cache"},
    "auth": FOUNDATION | {"shared", "sqlite"},
    "assets": FOUNDATION | {"sqlite", "cache", "chain", "service_client"},
    "upstream": FOUNDATION,
    "orders": FOUNDATION | {"cache", "chain"},
    "policy": FOUNDATION | {"assets", "auth", "cache", "chain", "service_client"},
    "files": FOUNDATION | {"cache", "chain", "assets", "upstream"},
    "compute": FOUNDATION
    | {"assets", "auth", "cache", "chain", "files", "orders", "policy", "service_client", "upstream"},
    "streaming": FOUNDATION | {"http1", "upstream"},
    "handlers": FOUNDATION
    | {
        "admission",
        "auth",
        "assets",
        "chain",
        "compute",
        "files",
        "http1",
        "logs",
        "metrics",
        "orders",
        "policy",
        "proofs",
        "streaming",
        "tracing",
        "upstream",
    },
    "tracing": FOUNDATION | {"service_client"},
    "proofs": FOUNDATION | {"auth", "chain", "service_client", "sqlite"},
    "openapi": FOUNDATION | {"handlers"},
    "admin": FOUNDATION | {"metrics", "redaction"},
}
TOP = {
    "admission_setup",
    "app",
    "asset_setup",
    "endpoints",
    "network_setup",
    "compute_setup",
    "dashboard_setup",
    "drain",
    "origin_setup",
    "proof_setup",
    "readiness_setup",
    "redis_setup",
    "store_setup",
    "import_nonces",
    "tls_listener",
    "worker",
    "worker_process",
    "forked_worker",
    "supervisor",
    "server",
    "check",
    "__main__",
}
# Nothing in the server may depend on the demo, and the demo plays a client: it shares nothing with the server's rooms.
DEMO_MAY_IMPORT = {"__version__"}
BROAD_EXCEPTS = {"handlers/base.py", "assets/chain_index.py", "proofs/queue.py"}


def room_of(path: Path) -> str:
    return path.relative_to(PROVIDER).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "provider":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("provider."))


def identify(path: Path) -> str:
    return path.relative_to(PROVIDER).as_posix()


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path)
    rooms = set(imported_rooms(path)) - {room}
    if room == "demo":
        assert rooms <= DEMO_MAY_IMPORT
    elif room not in TOP and room != "__init__":
        assert rooms <= ALLOWED[room], f"{identify(path)} reaches up or sideways"
    elif room != "__main__":
        assert "demo" not in rooms


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_nobody_reads_the_environment_outside_settings(path: Path) -> None:
    if room_of(path) in {"settings", "demo"}:
        # The demo starts processes and gives them an environment of its own making.
        return
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"environ", "getenv", "environb"}


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_broad_excepts_stand_in_their_two_places(path: Path) -> None:
    broad = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert not broad or identify(path) in BROAD_EXCEPTS


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_tornado_web_is_imported_by_handlers_only(path: Path) -> None:
    allowed = {"handlers", "admin", "demo", "app", "worker"}
    source = path.read_text()
    if "tornado.web" in source and "import" in source:
        modules = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        assert "tornado.web" not in modules or room_of(path) in allowed or identify(path) == "streaming/tornado_sink.py"
