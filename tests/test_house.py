"""The rules of the house that no linter knows: sizes, first lines, words, docs that match the code."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "consent_gateway").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
BANNED_MODULES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
BANNED_NAMES = {"subject", "user"}


def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tracked() -> list[Path]:
    """Every file of the checkout that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_its_duty_and_stays_small(path: Path) -> None:
    """A source file opens with its duty, has at most 400 lines and no function over 50."""
    module = tree(path)
    docstring = ast.get_docstring(module)
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].endswith((".", "?", ":")) or len(docstring.splitlines()) > 1
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    long = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno + 1 > 50]
    assert not long, f"over 50 lines: {long}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    """No module or package is called utils, helpers, manager or common."""
    assert not [path for path in SOURCES if BANNED_MODULES & set(path.with_suffix("").parts)]


def test_no_bare_subject_or_user() -> None:
    """No parameter, variable or field is called `subject` or `user`: the caller and the data subject are two people."""
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            name = getattr(node, "arg", None) if isinstance(node, ast.arg) else getattr(node, "id", None)
            if name in BANNED_NAMES:
                found.append(f"{path.name}:{node.lineno} {name}")
    assert not found


def test_no_state_at_module_level() -> None:
    """No module keeps mutable state: no `global`, and module-level containers are constants by name."""
    found = []
    for path in SOURCES:
        module = tree(path)
        found += [f"{path.name}: global" for node in ast.walk(module) if isinstance(node, ast.Global)]
        for node in module.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                container = isinstance(target, ast.Name) and isinstance(node.value, ast.List | ast.Dict | ast.Set)
                if container and target.id not in ("__all__", target.id.upper()):
                    found.append(f"{path.name}: {target.id}")
    assert not found


def test_every_test_states_its_claim() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.name}:{f.name}"
        for path in TESTS
        for f in functions(path)
        if f.name.startswith("test_") and not ast.get_docstring(f)
    ]
    assert not silent


def test_nothing_is_left_to_do() -> None:
    """No file carries a note of work left undone."""
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
    found = [
        str(path)
        for path in tracked()
        if path.suffix in {".py", ".yaml", ".html", ".md"} and marker.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_the_project_stands_alone() -> None:
    """No committed file names a machine's path, a package registry or the founders' shared folder."""
    banned = [
        re.compile(p)
        for p in (
            "/wo" + r"rk/",
            r"\.\./sha" + "red",
            r"index-" + "url",
            r"registry\." + r"npmjs",
            "files\\.python" + "hosted",
        )
    ]
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {p.pattern}" for p in banned if p.search(text)]
    assert not found


def test_each_dependency_has_its_reason() -> None:
    """Every dependency of pyproject.toml stands with a reason in ADR 0002."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["dependencies"] + [d for extra in project["optional-dependencies"].values() for d in extra]
    reasons = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text(encoding="utf-8")
    missing = {re.split(r"[\[><=]", name)[0] for name in named}
    missing = {name for name in missing if f"`{name}`" not in reasons}
    assert not missing


def test_migrations_are_numbered_and_end_in_the_head_file() -> None:
    """Each migration chain is numbered without gaps and its head file names the last, so branches collide in git."""
    for chain in ("gateway", "keys"):
        versions = sorted((ROOT / "migrations" / chain / "versions").glob("[0-9]*.py"))
        assert [path.name[:4] for path in versions] == [f"{n:04d}" for n in range(1, len(versions) + 1)]
        assert (ROOT / "migrations" / chain / "HEAD").read_text(encoding="utf-8").strip() == versions[-1].stem


def test_a_persons_data_key_is_only_ever_derived_from() -> None:
    """Nothing takes a person's raw data key but to derive a key for one use from it, with `expand`."""
    found = []
    for path in SOURCES:
        if path.parent.name in ("policy", "web"):  # there `data_key` is a schema's word for a member
            continue
        module = tree(path)
        derived = {
            id(call.args[0])
            for call in ast.walk(module)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "expand" and call.args
        }
        found += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(module)
            if isinstance(node, ast.Attribute) and node.attr == "data_key" and id(node) not in derived
        ]
    assert not found
