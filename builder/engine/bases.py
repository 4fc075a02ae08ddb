"""The images that a build stands on: found in the store or in a layout, or pulled, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.engine.catalogue import Catalogue, LocalImage, created_seconds
from builder.engine.lowering import Found, NearStage, Needed, Plan
from builder.errors import RegistryError, StoreError
from builder.events import EventSink
from builder.graph.operations import SCRATCH
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.images import Origin
from builder.store.layers import State
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.diagnostics import Diagnostic
    from builder.engine.named import NamedContexts
    from builder.engine.registries import Registries


class Bases:
    """The base images of one build; `pull` asks the registry for each of them, whatever is here.

    `new_id` gives the number of a step to show, `say` tells a remark.
    """

    def __init__(
        self,
        store: Store,
        *,
        named: NamedContexts | None,
        registries: Callable[[], Registries],
        events: EventSink,
        new_id: Callable[[], int],
        say: Callable[[Diagnostic], None],
        pull: bool,
    ) -> None:
        self._store = store
        self._catalogue = Catalogue(store)
        self._named = named
        self._registries = registries
        self._events = events
        self._new_id = new_id
        self._say = say
        self._pull = pull
        self.created: dict[tuple[str, str], float] = {}
        """When each was made, by name and platform, in seconds since the epoch."""
        self.elsewhere: dict[str, str] = {}
        """Names as they were asked for, and those under which they were found."""
        self.states = {(SCRATCH.reference, SCRATCH.platform): State()}
        """The layers of each, by name and platform."""

    def local(self, needed: Needed) -> Found | None:
        """Return an image of the store, or of a layout on disk, without asking anybody."""
        if self._named is not None:
            image_id = self._named.image(needed.reference, needed.platform, self._store)
            if image_id is not None:
                return self._take(needed, self._catalogue.open(image_id))
        if self._pull:
            return None
        try:
            wanted = Platform.parse(needed.platform)
            image = self._catalogue.by_reference(Reference.parse(needed.reference), wanted)
        except StoreError as error:
            familiar = Reference.parse(needed.reference).familiar()
            error.notes = (f"it is the configuration of the base image `{familiar}`", *error.notes)
            error.hint = f"pull it again: `lapstrake pull {familiar}`"
            error.span = needed.span
            raise
        if image is None and needed.short:
            return self._under_another_name(needed, wanted)
        if image is None or not self._serves(image, Reference.parse(needed.reference), wanted):
            return None
        return self._take(needed, image)

    def _serves(self, image: LocalImage, name: Reference, wanted: Platform) -> bool:
        """Tell whether an image that is here under a name is what its registry would give for a platform."""
        return image.platform.matches(wanted) or self._catalogue.is_all_of(name, image.id)

    def _under_another_name(self, needed: Needed, wanted: Platform) -> Found | None:
        """Return the image that a short name means here, where aliases or search registries say what it means."""
        for name in self._registries().names(needed.short, Reference.parse(needed.reference)):
            image = self._catalogue.by_reference(name, wanted)
            if image is not None and self._serves(image, name, wanted):
                return self._take(needed, image, name)
        return None

    def _take(self, needed: Needed, image: LocalImage, found_as: Reference | None = None) -> Found:
        """Take an image for what is needed, under its name and under the one where it was found."""
        names = {needed.reference}
        if found_as is not None and found_as.canonical() != needed.reference:
            self.elsewhere[needed.reference] = found_as.canonical()
            names.add(found_as.canonical())
        for name in names:
            self.states[name, needed.platform] = image.state
            self.created[name, needed.platform] = created_seconds(image.config.created)
        return image.id, image.config

    def resolve(self, needed: Needed, near_stage: NearStage, used: bool) -> Found:  # noqa: FBT001  passed on
        """Return an image from the store, or pull it; `--pull` always asks the registry."""
        local = self.local(needed)
        if local is not None:
            return local
        vertex_id = self._new_id()
        reference, platform = Reference.parse(needed.reference), Platform.parse(needed.platform)
        try:
            registries = self._registries()
            reference = registries.where(registries.names(needed.short, reference))
            before = self._store.images.name(reference.canonical())
            # One that is there for one platform alone is taken as it is, with a warning from the checks.
            pulled = registries.pull(
                reference, platform, self._events, vertex_id, unpack=used, or_the_only_one=True
            )
        except RegistryError as error:
            from builder.engine.missing import explain

            near = near_stage(needed.reference)
            explain(error, needed, self._catalogue, near, asked=self._pull)
            raise
        if self._pull and before is not None:
            from builder.engine.newer import moved

            note = moved(reference, before.digest, pulled.digest)
            if note is not None:
                self._say(note)
        return self._take(needed, self._catalogue.open(pulled.image_id), reference)

    def origin(self, plan: Plan) -> Origin:
        """Return what the image stands on; a layout on this machine is nobody else's to look up."""
        if plan.base is None or self.layout_name(plan.base):
            return Origin()
        return Origin(base=plan.base, digest=self.digest_of(plan.base))

    def layout_name(self, reference: str) -> str:
        """Return the name of the context that is the layout behind a reference, "" for any other reference."""
        return "" if self._named is None else self._named.layout_name(reference)

    def digest_of(self, reference: str) -> str | None:
        """Return the digest that the name of a base stands for, None where nobody has said."""
        given = Reference.parse(reference).digest
        if given is not None:
            return str(given)
        name = self._store.images.name(reference)
        return None if name is None else name.digest
