"""The rules of the tree that no type checker holds: who imports whom, who reads the environment, broad excepts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROVIDER = Path(__file__).parents[2] / "provider"
FILES = sorted(PROVIDER.rglob("*.py"))

# Room → rooms it may import. Data flows down this list; a room never imports what stands below it.
FOUNDATION = {"__version__", "errors", "json_text", "keccak", "start_error", "wire_text"}
ALLOWED: dict[str, set[str]] = {
    "__version__": set(),
    "errors": set(),
    "json_text": set(),
    "keccak": set(),
    "start_error": set(),
    "wire_text": set(),
    "redaction": set(),
    "logs": {"redaction"},
    "pulse": set(),
    "operator_names": {"cache", "own_thread"},
    "outgoing": {"operator_names", "proxies"},
    "proxies": {"wire_text"},
    "settings": FOUNDATION | {"keystore", "proxies", "shared", "tls"},
    "metrics": FOUNDATION,
    "cache": FOUNDATION,
    "service_client": FOUNDATION | {"outgoing"},
    "shared": FOUNDATION | {"cache", "operator_names"},
    "sqlite": FOUNDATION,
    "keystore": FOUNDATION,
    "tls": FOUNDATION,
    "last_connections": set(),
    "own_thread": set(),
    "http1": FOUNDATION,
    "tls_listener": FOUNDATION | {"admission", "http1", "tls"},
    "admission": FOUNDATION,
    "chain": FOUNDATION | {"admission", "keystore", "cache", "outgoing"},
    "auth": FOUNDATION | {"shared", "sqlite"},
    "assets": FOUNDATION | {"sqlite", "cache", "chain", "outgoing", "service_client"},
    "upstream": FOUNDATION | {"cache", "own_thread"},
    "orders": FOUNDATION | {"cache", "chain"},
    "policy": FOUNDATION | {"assets", "auth", "cache", "chain", "outgoing", "service_client"},
    "files": FOUNDATION | {"cache", "chain", "assets", "upstream"},
    "compute": FOUNDATION
    | {"assets", "auth", "cache", "chain", "files", "orders", "outgoing", "policy", "service_client", "upstream"},
    "streaming": FOUNDATION | {"http1", "upstream"},
    "handlers": FOUNDATION
    | {
        "admission",
        "auth",
        "assets",
        "cache",
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
    "commands",
    "__main__",
}
# Nothing in the server may depend on the demo, and the demo plays a client: it shares nothing with the server's rooms.
DEMO_MAY_IMPORT = {"__version__"}
BROAD_EXCEPTS = {"handlers/base.py", "assets/chain_index.py", "own_thread.py", "proofs/queue.py"}


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
        assert "tornado.web" not in modules or room_of(path) in allowed or identify(path) == "http1/sink.py"


# Every call that blocks a thread or resolves a name, and why no stranger can fill what others wait in. Threads of the
# event loop's default executor are few and shared: what runs there has an end that no stranger chooses.
BLOCKING = {"run_in_executor", "to_thread", "getaddrinfo", "ThreadPoolExecutor", "Thread", "run_in_own_thread"}
BLOCKING |= {"gethostbyname", "getnameinfo", "open_connection", "create_connection", "set_default_executor"}
BLOCKING_USES = {
    ("admin/dashboard/page.py", "to_thread"): "reads packaged files for the operator",
    ("assets/chain_index.py", "to_thread"): "opens a document of limited size: tens of milliseconds",
    ("assets/chain_scan.py", "to_thread"): "parses a page of logs of limited size",
    ("auth/sqlite_store.py", "Thread"): "the nonce store's own thread; each of its steps is one transaction",
    ("auth/sqlite_store.py", "run_in_executor"): "waits for that thread at the end of the process",
    ("commands/check/host_probes.py", "getaddrinfo"): "`provider check`, not the server",
    ("commands/check/host_probes.py", "to_thread"): "`provider check`, not the server",
    ("commands/check/probes.py", "to_thread"): "`provider check`, not the server",
    ("files/origins.py", "to_thread"): "signs an S3 request; encodes and decodes contract values of limited size",
    ("handlers/about/docs.py", "to_thread"): "reads packaged files",
    ("handlers/off_loop.py", "ThreadPoolExecutor"): "large documents: few wait, and fewer of one client",
    ("handlers/about/root.py", "to_thread"): "reads a packaged file",
    ("import_nonces.py", "to_thread"): "a command, not the server",
    ("operator_names.py", "getaddrinfo"): "names of the operator, each in a thread of its own",
    ("operator_names.py", "run_in_own_thread"): "names of the operator: one thread for each name",
    ("own_thread.py", "Thread"): "a thread for one call",
    ("server.py", "getaddrinfo"): "the listener's own address, before anything is served",
    ("sqlite.py", "ThreadPoolExecutor"): "the one thread of one file; each step is one transaction",
    ("sqlite.py", "run_in_executor"): "the one thread of one file; each step is one transaction",
    ("tracing.py", "Thread"): "sends the last traces at the end of the process",
    ("upstream/ftp_session.py", "create_connection"): "to a checked address, in the thread of one login",
    ("upstream/ftp_source.py", "run_in_own_thread"): "one login or one end of a transfer, counted for its client",
    ("upstream/names.py", "getaddrinfo"): "numbers only (AI_NUMERICHOST), and c-ares on the event loop",
}


def test_whatever_blocks_is_listed_with_the_reason_why_strangers_cannot_fill_it() -> None:
    found = {
        (identify(path), name)
        for path in FILES
        if room_of(path) != "demo"
        for node in ast.walk(ast.parse(path.read_text()))
        for name in [node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""]
        if name in BLOCKING
    }
    assert found == set(BLOCKING_USES)
