"""The field catalogue, read from Fides dataset YAML: which column is which field; never looks into a store.

Keys that real Fides datasets carry are accepted and, where they mean nothing here, ignored. What is ours stands
under `meta` of a field or collection.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import BETWEEN, KeyClass, Text, Word, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document, Place
from consent_gateway.vocabulary import SEARCH_MODES, Effect, Obligation

ATTRIBUTES = ("country", "region", "birth_date", "member")
STRATEGIES = ("delete", "soft_delete", "overwrite")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the store as a field that callers may name."""

    name: str  # `email`, or `orders.total` in a child collection
    collection: str
    column: str
    categories: tuple[str, ...]
    data_type: str = "string"
    identity: str | None = None
    search: tuple[str, ...] = ()
    attribute: str | None = None
    protection: str | None = None
    key_class: str | None = None  # of a sealed field: which purposes' credentials can open it
    writable: bool = False
    retention: str | None = None
    primary_key: bool = False
    mirrors_consent: str | None = None
    transforms: Mapping[Effect, Obligation] = field(default_factory=lambda: MappingProxyType({}))
    erased_as: str | int | None = None  # what an erasure writes where the column takes neither null nor a blank
    line: int = 1

    @property
    def personal(self) -> bool:
        """Whether it holds data about a person, by its categories."""
        return any(each == "user" or each.startswith("user.") for each in self.categories)


@dataclass(frozen=True, slots=True)
class Reference:
    """How a child collection points at another: `column` holds the other's `to_column`."""

    column: str
    to_collection: str
    to_column: str


@dataclass(frozen=True, slots=True)
class Collection:
    """One table of the store."""

    name: str
    table: str
    fields: tuple[Field, ...]
    primary_key: str
    reference: Reference | None
    order_by: str
    line: int = 1
    strategy: str = "delete"  # how an erasure takes a row away that nothing keeps
    mark: str | None = None  # of `soft_delete`: the column that says that the row is gone


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All catalogued columns of one store. `root` holds one row a person."""

    dataset: str
    root: Collection
    collections: Mapping[str, Collection]
    fields: Mapping[str, Field]
    path: str = ""

    @property
    def key_classes(self) -> Mapping[str, str]:
        """The key class of each sealed field, by field name."""
        return {name: one.key_class for name, one in self.fields.items() if one.key_class is not None}


class _Open(Schema):
    class Meta:
        """Fides datasets carry more keys than are read here (`tags`, `after`, `erase_after` and others)."""

        unknown = EXCLUDE


class _ReferenceSchema(_Open):
    dataset = fields.String(load_default=None, allow_none=True)
    field = Text(required=True)
    direction = fields.String(load_default=None, allow_none=True)


class _FieldFidesSchema(_Open):
    primary_key = fields.Boolean(load_default=False, allow_none=True)
    identity = fields.String(load_default=None, allow_none=True)
    references = fields.List(fields.Nested(_ReferenceSchema), load_default=list, allow_none=True)
    data_type = fields.String(load_default="string", allow_none=True)


class _TransformField(fields.Field[Obligation]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Obligation:
        if isinstance(value, dict):
            given = _ObligationSchema().load(value)
            return obligation(given["transform"], given["parameters"])
        return obligation(Text().deserialize(value), {})


class _ObligationSchema(Schema):
    transform = Text(required=True)
    parameters = fields.Dict(keys=fields.String(), load_default=dict)


class _TransformsField(fields.Field[Any]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[Effect, Obligation]:
        effect = Word("effect", {one.word: one for one in BETWEEN})
        given = fields.Dict().deserialize(value)
        return {effect.deserialize(word): _TransformField().deserialize(entry) for word, entry in given.items()}


def _erasable(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError("this must be a text or a whole number; write `XX`")


class FieldMetaSchema(Schema):
    """What stands under `meta` of a field; ours, so a key that is not known is a fault."""

    protection = Word("protection", {"sealed": "sealed"}, load_default=None, allow_none=True)
    key_class = KeyClass(load_default=None, allow_none=True)
    writable = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    retention = fields.String(load_default=None, validate=validate.Regexp(r"^P(\d+[YMWD])+$", error="write `P10Y`"))
    attribute = Word("attribute", {word: word for word in ATTRIBUTES}, load_default=None, allow_none=True)
    mirrors_consent = fields.String(load_default=None, allow_none=True)
    search = Words(load_default=(), allow_none=True)
    transforms = _TransformsField(load_default=dict)
    erased_as = fields.Raw(load_default=None, allow_none=True, validate=_erasable)


class _FieldSchema(_Open):
    name = Text(required=True)
    data_categories = Words(load_default=(), allow_none=True)
    retention = fields.String(load_default=None, allow_none=True)
    fides_meta = fields.Nested(_FieldFidesSchema, load_default=None, allow_none=True)
    meta = fields.Nested(FieldMetaSchema, load_default=None, allow_none=True)
    fields_ = fields.List(fields.Nested("_FieldSchema"), data_key="fields", load_default=list, allow_none=True)


class _CollectionMetaSchema(Schema):
    order_by = fields.String(load_default=None, allow_none=True)
    root = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    table = fields.String(load_default=None, allow_none=True)
    erasure = Word("strategy", {word: word for word in STRATEGIES}, load_default="delete")
    mark = fields.String(load_default=None, allow_none=True)


class _CollectionSchema(_Open):
    name = Text(required=True)
    data_categories = Words(load_default=(), allow_none=True)
    fields_ = fields.List(fields.Nested(_FieldSchema), data_key="fields", required=True)
    meta = fields.Nested(_CollectionMetaSchema, load_default=None, allow_none=True)


class _DatasetSchema(_Open):
    fides_key = Text(required=True)
    data_categories = Words(load_default=(), allow_none=True)
    collections = fields.List(fields.Nested(_CollectionSchema), required=True)


class CatalogueSchema(_Open):
    """A Fides dataset file with one dataset."""

    dataset = fields.List(
        fields.Nested(_DatasetSchema),
        required=True,
        validate=validate.Length(equal=1, error="the catalogue holds one dataset; name one store in one file"),
    )


@dataclass(slots=True)
class _Build:
    document: Document
    findings: list[Finding]

    def fault(self, place: Place, what: str, mend: str) -> None:
        self.findings.append(Finding(self.document.path, self.document.line(place), what, mend))

    def field(self, given: dict[str, Any], collection: str, inherited: tuple[str, ...], place: Place) -> Field:
        fides = given["fides_meta"] or _FieldFidesSchema().load({})
        meta = given["meta"] or FieldMetaSchema().load({})
        categories = given["data_categories"] or inherited
        for nested in given["fields_"] or ():  # a column with inner fields is as closed as its most closed part
            categories = tuple(dict.fromkeys((*categories, *_nested_categories(nested))))
        self.search(given["name"], fides["identity"], meta["search"] or (), place)
        if not categories:
            self.fault(place, f"the field `{given['name']}` has no category", "add `data_categories: [...]`")
        return Field(
            name=given["name"],
            collection=collection,
            column=given["name"],
            categories=categories,
            data_type=fides["data_type"] or "string",
            identity=fides["identity"],
            search=tuple(meta["search"] or ()),
            attribute=meta["attribute"],
            protection=meta["protection"],
            key_class=meta["key_class"],
            writable=meta["writable"],
            retention=meta["retention"] or given["retention"],
            primary_key=bool(fides["primary_key"]),
            mirrors_consent=meta["mirrors_consent"],
            transforms=MappingProxyType(meta["transforms"]),
            erased_as=meta["erased_as"],
            line=self.document.line(place),
        )

    def search(self, name: str, identity: str | None, modes: tuple[str, ...], place: Place) -> None:
        """A mode of search tells more than an exact index, so one that means nothing here is a fault."""
        fits = SEARCH_MODES.get(identity or "", frozenset())
        for mode in sorted(set(modes) - fits):
            told = f"the identity `{identity}`" if identity else "a field that is no identity"
            what = f"`{name}` asks for the search `{mode}`, which {told} does not have"
            mend = f"use {' or '.join(f'`{each}`' for each in sorted(fits))}" if fits else "remove it from `search`"
            self.fault(place, what, mend)

    def collection(self, given: dict[str, Any], inherited: tuple[str, ...], place: Place) -> Collection:
        name = given["name"]
        meta = given["meta"] or _CollectionMetaSchema().load({})
        inherited = given["data_categories"] or inherited
        columns = tuple(
            self.field(one, name, inherited, (*place, "fields", index)) for index, one in enumerate(given["fields_"])
        )
        names = [column.column for column in columns]
        for index, column in enumerate(names):
            if column in names[:index]:
                self.fault((*place, "fields", index), f"the field `{column}` stands twice", "keep one of them")
        keys = [column.column for column in columns if column.primary_key]
        if len(keys) != 1:
            self.fault(place, f"`{name}` needs one primary key", "set `fides_meta: {primary_key: true}` on one field")
        key = keys[0] if keys else ""
        order_by = meta["order_by"] or key
        if order_by not in names:
            self.fault(place, f"`{name}` is ordered by `{order_by}`, which it does not hold", "name one of its fields")
        if (meta["erasure"] == "soft_delete") != (meta["mark"] is not None):
            what = f"`{name}` needs `mark`, a column, with `erasure: soft_delete` and only there"
            self.fault(place, what, "name the column that says that a row is gone")
        return Collection(
            name=name,
            table=meta["table"] or name,
            fields=columns,
            primary_key=key,
            reference=self.reference(given, place),
            order_by=order_by,
            line=self.document.line(place),
            strategy=meta["erasure"],
            mark=meta["mark"],
        )

    def reference(self, given: dict[str, Any], place: Place) -> Reference | None:
        for index, column in enumerate(given["fields_"]):
            for pointer in (column["fides_meta"] or {}).get("references") or ():
                if pointer["direction"] == "to":
                    continue
                target, _, target_column = pointer["field"].rpartition(".")
                if not target:
                    at = (*place, "fields", index)
                    self.fault(at, f"`{pointer['field']}` names no collection", "write `collection.column`")
                return Reference(column["name"], target.rpartition(".")[2], target_column)
        return None


def _nested_categories(given: dict[str, Any]) -> tuple[str, ...]:
    inner = [category for one in given["fields_"] or () for category in _nested_categories(one)]
    return (*(given["data_categories"] or ()), *inner)


def obligation(transform: str, parameters: Mapping[str, Any]) -> Obligation:
    """The obligation of a transform with its parameters in a fixed order."""
    return Obligation(transform, tuple(sorted(parameters.items())))


def read_catalogue(document: Document, findings: list[Finding]) -> Catalogue | None:
    """The catalogue of a parsed file, or None where its shape does not stand; faults go to `findings`."""
    given = load(CatalogueSchema(), document, (), document.value, findings)
    if given is None:
        return None
    build = _Build(document, findings)
    dataset = given["dataset"][0]
    place: Place = ("dataset", 0, "collections")
    collections = {
        one["name"]: build.collection(one, dataset["data_categories"] or (), (*place, index))
        for index, one in enumerate(dataset["collections"])
    }
    if len(collections) != len(dataset["collections"]):
        build.fault(place, "two collections have the same name", "rename one")
    roots = [one["name"] for one in dataset["collections"] if (one["meta"] or {}).get("root")]
    roots = roots or [name for name, one in collections.items() if one.reference is None]
    if len(roots) != 1:
        build.fault(place, "it is not clear which collection holds the person", "set `meta: {root: true}` on one")
        return None
    _check_references(build, collections, roots[0])
    _check_writable(build, collections, roots[0])
    _check_sealed(build, collections)
    return _assemble(dataset["fides_key"], collections, roots[0], document.path)


def _check_writable(build: _Build, collections: Mapping[str, Collection], root: str) -> None:
    """The store's port writes root fields only; a promise it cannot keep is a fault of the catalogue."""
    for one in collections.values():
        for column in one.fields:
            if column.writable and one.name != root:
                what = f"`{one.name}.{column.column}` is writable, but lies in a child collection, which is read only"
                build.findings.append(Finding(build.document.path, column.line, what, "remove `writable: true`"))


def _check_sealed(build: _Build, collections: Mapping[str, Collection]) -> None:
    """A sealed field without a class would be encrypted for nobody; a class without sealing protects nothing."""
    for one in collections.values():
        for column in one.fields:
            sealed = column.protection == "sealed"
            if sealed and column.key_class is None:
                what = f"`{column.column}` is sealed, but names no key class, so nothing says who can open it"
                mend = "add `key_class: ...`, and the class to `key_classes` of the purposes that may open it"
                build.findings.append(Finding(build.document.path, column.line, what, mend))
            elif column.key_class is not None and not sealed:
                what = f"`{column.column}` names the key class `{column.key_class}`, but is not sealed"
                mend = "add `protection: sealed`, or remove `key_class`"
                build.findings.append(Finding(build.document.path, column.line, what, mend))


def _check_references(build: _Build, collections: Mapping[str, Collection], root: str) -> None:
    for index, one in enumerate(collections.values()):
        place: Place = ("dataset", 0, "collections", index)
        if one.name == root:
            continue
        target = collections.get(one.reference.to_collection) if one.reference else None
        if one.reference is None or target is None:
            build.fault(place, f"`{one.name}` refers to no collection", "add `references` to the column that does")
        elif one.reference.to_column not in {column.column for column in target.fields}:
            what = f"`{target.name}` has no field `{one.reference.to_column}`"
            build.fault(place, what, "name one of its fields in `references`")


def _assemble(dataset: str, collections: Mapping[str, Collection], root: str, path: str) -> Catalogue:
    named: dict[str, Collection] = {}
    for name, one in collections.items():
        prefix = "" if name == root else f"{name}."
        columns = tuple(replace(column, name=f"{prefix}{column.column}") for column in one.fields)
        named[name] = replace(one, fields=columns, reference=None if name == root else one.reference)
    every = {column.name: column for one in named.values() for column in one.fields}
    return Catalogue(dataset, named[root], MappingProxyType(named), MappingProxyType(every), path)
