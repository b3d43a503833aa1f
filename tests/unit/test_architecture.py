"""The rules of the tree that no type checker holds: imports, the environment, broad excepts, Tornado, dependencies."""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import tornado
from packaging.requirements import Requirement

from tests.support.syntax import imported_modules, nodes_of

ROOT = Path(__file__).parents[2]
PROVIDER = ROOT / "provider"
SOURCES = {path.relative_to(PROVIDER).as_posix(): path for path in sorted(PROVIDER.rglob("*.py"))}
# Packages that the server does not use.
KIT = ("demo/", "testing/")
# The end of a request, the top of a background task, and a thread that hands its failure to the caller.
BROAD_EXCEPTS = {
    "assets/chain_index.py",
    "auth/nonce_writer.py",
    "auth/sqlite_store.py",
    "books/ledger.py",
    "books/probes.py",
    "handlers/base.py",
    "outgoing/own_thread.py",
    "proofs/queue.py",
    "quotas/quotas.py",
    "quotas/sqlite_store.py",
}
# web3 is a family of distributions, of which each use takes the smallest.
FAMILIES = {"eth-account": "web3", "eth-keyfile": "web3"}


def test_the_import_contract_holds() -> None:
    """The contract stands in setup.cfg; `lint-imports` prints the chain of imports that breaks it."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_environment_is_read_in_config_only() -> None:
    """The demo starts processes and makes their environment itself."""
    readers = {
        name
        for name, path in SOURCES.items()
        for node in nodes_of(path, ast.Attribute)
        if node.attr in {"environ", "getenv", "environb"}
    }
    assert not {name for name in readers if not name.startswith(("config/", *KIT))}


def test_records_carry_their_fields_under_the_name_that_the_formatters_read() -> None:
    """`extra` with other keys would be lost without a word."""
    names = {
        (name, key.value if isinstance(key, ast.Constant) else None)
        for name, path in SOURCES.items()
        for node in nodes_of(path, ast.keyword)
        if node.arg == "extra" and isinstance(node.value, ast.Dict)
        for key in node.value.keys
    }
    assert {key for _, key in names} == {"fields"}, names


def test_everything_is_caught_in_few_places() -> None:
    catchers = {
        name
        for name, path in SOURCES.items()
        for node in nodes_of(path, ast.ExceptHandler)
        if (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in node.body)
    }
    assert catchers <= BROAD_EXCEPTS


def test_tornado_web_is_imported_by_handlers_and_listeners_only() -> None:
    allowed = ("handlers/", "http1/", "admin/", *KIT, "app/", "process/")
    users = {name for name, path in SOURCES.items() if "tornado.web" in imported_modules(path)}
    assert not {name for name in users if not name.startswith(allowed)}


def private_names(path: Path) -> set[str]:
    """Names with one leading underscore that a module defines, or uses of an object."""
    named = {node.attr for node in nodes_of(path, ast.Attribute)}
    named |= {node.name for node in nodes_of(path, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)}
    return {name for name in named if re.match("_[^_]", name)}


def private_uses(path: Path, private: set[str], *, own: bool) -> Iterator[str]:
    """Private names of Tornado that a module uses; those of `self` count where the class may be Tornado's (`own`)."""
    for node in nodes_of(path, ast.Attribute):
        if node.attr in private and (own or not (isinstance(node.value, ast.Name) and node.value.id == "self")):
            yield node.attr
    for imported in nodes_of(path, ast.ImportFrom):
        if (imported.module or "").startswith("tornado"):
            yield from (alias.name for alias in imported.names if alias.name.startswith("_"))


def test_private_members_of_tornado_are_used_in_http1_only() -> None:
    """They may change with any release of Tornado; the contract tests of http1/ fail then."""
    folder = Path(tornado.__file__).parent
    modules = ("web", "httputil", "http1connection", "httpserver", "iostream", "tcpserver")
    private = set().union(*(private_names(folder / f"{name}.py") for name in modules))
    faults = {}
    for name, path in SOURCES.items():
        near = name.startswith(("handlers/", "admin/")) or any(
            module.startswith(("tornado", "provider.http1")) for module in imported_modules(path)
        )
        used = set() if name.startswith("http1/") else set(private_uses(path, private, own=near))
        if used:
            faults[name] = used
    assert not faults


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_declared_dependency_is_imported_by_the_server() -> None:
    """A dependency that only the demo or the tests need belongs to an extra."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    declared = {normalized(re.split(r"[<>=;\[]", line)[0]) for line in lines}
    server = [path for name, path in SOURCES.items() if not name.startswith(KIT)]
    imported = {module.split(".")[0] for path in server for module in imported_modules(path)}
    # Files of a package are read by its name.
    imported |= {node.value for path in server for node in nodes_of(path, ast.Constant)} & {"swagger_ui_bundle"}
    distributions = metadata.packages_distributions()
    used = {normalized(name) for module in imported for name in distributions.get(module, [])}
    assert not declared - used - {FAMILIES.get(name, "") for name in used}


# They bring what a folder of tests installs by itself, or what runs where there is a wheel.
OF_OTHERS = {"tests/clients/", "tests/fuzz/__main__.py", "tests/fuzz/guided.py", "tests/fuzz/mutation.py"}


def required_with(extras: set[str]) -> set[str]:
    """The distributions that these extras of this project bring, directly and through others."""
    found: set[str] = set()
    waiting = [Requirement(f"ocean-stream-provider[{','.join(extras)}]")]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        found.add(normalized(requirement.name))
        try:
            needed = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in needed:
            other = Requirement(line)
            environments = [{"extra": extra} for extra in requirement.extras or {""}]
            if other.marker is None or any(other.marker.evaluate(environment) for environment in environments):
                waiting.append(other)
    return found


def test_everything_the_tests_import_is_installed_with_them() -> None:
    """README's second command installs the extras `test` and `test-deploy` and nothing else."""
    required = required_with({"test", "test-deploy"})
    distributions = metadata.packages_distributions()
    own = {"provider", "tests", "benchmarks"} | sys.stdlib_module_names
    own |= {path.stem for path in ROOT.glob("conf/grafana/*.py")}
    missing = set()
    for path in (ROOT / "tests").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(tuple(OF_OTHERS)):
            continue
        for module in {module.split(".")[0] for module in imported_modules(path)} - own:
            if not required & {normalized(one) for one in distributions.get(module, [module])}:
                missing.add((name, module))
    assert not missing


# Every call that blocks a thread or resolves a name, and why no stranger can fill what others wait in. Threads of the
# event loop's default executor are few and shared: what runs there has an end that no stranger chooses.
BLOCKING = {"run_in_executor", "to_thread", "getaddrinfo", "ThreadPoolExecutor", "Thread", "run_in_own_thread"}
BLOCKING |= {"gethostbyname", "getnameinfo", "open_connection", "create_connection", "set_default_executor"}
BLOCKING_USES = {
    ("admin/dashboard/page.py", "to_thread"): "reads packaged files for the operator",
    ("app/assets.py", "to_thread"): "opens a document of limited size: tens of milliseconds",
    ("app/probing.py", "to_thread"): "lists sold files, once in a period, beside the requests",
    ("assets/chain_index.py", "to_thread"): "parses a document of limited size, which was opened in one as well",
    ("assets/metadata_store.py", "to_thread"): "parses a document of limited size and number of values",
    ("assets/chain_scan.py", "to_thread"): "parses a page of logs of limited size",
    ("auth/sqlite_store.py", "Thread"): "the nonce store's own thread; each of its steps is one transaction",
    ("auth/sqlite_store.py", "run_in_executor"): "waits for that thread at the end of the process",
    ("commands/check/host_probes.py", "getaddrinfo"): "`provider check`, not the server",
    ("commands/check/host_probes.py", "to_thread"): "`provider check`, not the server",
    ("commands/check/source_probes.py", "to_thread"): "`provider check`, not the server",
    ("commands/get/fetch.py", "to_thread"): "`provider get`, not the server",
    ("commands/get/part_file.py", "to_thread"): "`provider get`, not the server",
    ("files/origins.py", "to_thread"): "signs an S3 request; encodes and decodes contract values of limited size",
    ("files/remote_documents.py", "to_thread"): "opens the credential in a document of limited size",
    ("handlers/about/docs.py", "to_thread"): "reads packaged files",
    ("handlers/off_loop.py", "ThreadPoolExecutor"): "large documents: few wait, and fewer of one client",
    ("handlers/about/root.py", "to_thread"): "reads a packaged file",
    ("commands/import_nonces.py", "to_thread"): "a command, not the server",
    ("outgoing/names.py", "getaddrinfo"): "names of the operator, each in a thread of its own",
    ("outgoing/names.py", "run_in_own_thread"): "names of the operator: one thread for each name",
    ("outgoing/own_thread.py", "Thread"): "a thread for one call",
    ("process/server.py", "getaddrinfo"): "the listener's own address, before anything is served",
    ("slices/store.py", "ThreadPoolExecutor"): "opens, writes and removes slices; only readers of cached files wait",
    (
        "slices/store.py",
        "run_in_executor",
    ): "one slice or one piece; readers wait no longer than their idle limit",
    ("sqlite.py", "ThreadPoolExecutor"): "the one thread of one file; each step is one transaction",
    ("sqlite.py", "run_in_executor"): "the one thread of one file; each step is one transaction",
    ("observability/tracing.py", "Thread"): "sends the last traces at the end of the process",
    ("upstream/disk.py", "ThreadPoolExecutor"): "reads local files; nothing else waits for a disk that hangs",
    ("upstream/disk.py", "run_in_executor"): "reads local files: one piece of limited size at a time for each stream",
    ("upstream/folder.py", "ThreadPoolExecutor"): "opens files of one folder; only its buyers wait for it",
    ("upstream/folder.py", "run_in_executor"): "opens one file of a folder, for as long as its limit",
    ("upstream/ftp_session.py", "create_connection"): "to a checked address, in the thread of one login",
    ("upstream/ftp_source.py", "run_in_own_thread"): "one login or one end of a transfer, counted for its client",
    ("upstream/names.py", "getaddrinfo"): "numbers only (AI_NUMERICHOST), and c-ares on the event loop",
}


def test_every_call_that_blocks_is_listed_with_its_reason() -> None:
    """The reason says why no stranger can fill what others wait in."""
    found = {
        (name, used)
        for name, path in SOURCES.items()
        if not name.startswith(KIT)
        for node in nodes_of(path, ast.Attribute, ast.Name)
        for used in [node.attr if isinstance(node, ast.Attribute) else node.id]
        if used in BLOCKING
    }
    assert found == set(BLOCKING_USES)
