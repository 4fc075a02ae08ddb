"""The engine: everything that a command line, a program or a server asks of lapstrake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.engine.catalogue import OfPlatform
from builder.engine.collection import platform_of, tag_of
from builder.engine.moving import Moving
from builder.engine.requests import (
    BuildRequest,
    BuildResult,
    CallRequest,
    DebugRequest,
    OutputResult,
    PlatformImage,
    Provenance,
    PullResult,
    PushResult,
    RunRequest,
    last_digest,
    names_given,
)
from builder.errors import ImageError, LapstrakeError
from builder.events import BuildDone, Event, EventSink, Warned
from builder.oci.platform import Platform
from builder.oci.reference import Reference, short_name
from builder.settings import LOCAL, Settings
from builder.solve.translate import Behind, translated
from builder.store.builds import About
from builder.store.root import Store
from runtime.launch import Cancellation, Launcher

if TYPE_CHECKING:
    from builder.containers.foreground import Streams
    from builder.diagnostics import Diagnostic
    from builder.engine.built import Built, BuiltImage
    from builder.engine.calls import CallResult
    from builder.engine.destinations import Asked
    from builder.engine.recording import Recording
    from builder.engine.registries import Registries
    from builder.engine.statements import Claimed
    from builder.engine.verifying import Verdict
    from builder.oci.closure import Closure
    from builder.oci.config import ImageConfig
    from builder.oci.descriptor import Descriptor
    from runtime.forward import Forward


class Engine(Moving):
    """One open store and one launcher. Use `Engine.open` as a context manager."""

    def __init__(self, settings: Settings, store: Store, behind: Behind) -> None:
        super().__init__(settings, store, behind)
        self._made: Registries | None = None
        self._since = time.monotonic()
        """When what is going on began."""

    @property
    def cancellation(self) -> Cancellation:
        """What ends the work in progress; look it up anew each time."""
        return self._behind.cancellation

    @property
    def _registries(self) -> Registries:
        """The registries; a cached build needs none."""
        if self._made is None:
            from builder.engine.registries import Registries

            self._made = Registries(self._settings, self._store, self._behind)
        self._made.since = self._since
        return self._made

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, launcher: Launcher | None = None) -> Iterator[Engine]:
        """Open the store that the settings name.

        Without a launcher a fresh interpreter becomes one: this process may have threads already.

        Raises: StoreError: it cannot be used.
        """
        launcher = launcher or Launcher.spawn()
        behind = Behind(launcher, settings.isolation, Cancellation())
        try:
            with Store(settings.root, behind, on_lock=behind.hold) as store:
                behind.on_open = lambda: store.bind_ids(launcher.id_map)
                if settings.max_size is not None:
                    store.keep_below(settings.max_size)
                with translated():
                    yield cls(_trusting(settings, store), store, behind)
        finally:
            behind.close()
            launcher.close()

    @staticmethod
    def reset_damaged(settings: Settings, launcher: Launcher | None = None) -> int | None:
        """Remove a store that cannot be opened; return the bytes given back, None if it is no store at all.

        Raises: StoreError: `store.busy`.
        """
        from builder.store.reset import is_damaged_store, reset_damaged

        if not is_damaged_store(settings.root):
            return None
        launcher = launcher or Launcher.spawn()
        try:
            behind = Behind(launcher, settings.isolation, Cancellation())
            return reset_damaged(settings.root, behind)
        finally:
            launcher.close()

    def build(
        self, request: BuildRequest, events: EventSink, stdin: BinaryIO | None = None
    ) -> BuildResult:
        """Build an image, name it, export it and push it as asked; `stdin` is what `-` in a request means.

        Raises: LapstrakeError: what failed, with its place; nothing is half-written.
        """
        from builder.engine.recording import Recording

        references = tuple(tag_of(text) for text in request.tags)
        outputs = self._outputs(request, references)
        recording = Recording(self._store.builds.new(), request, events)
        self._store.cache.project = recording.project
        try:
            result, done = self._build(request, references, outputs, recording, stdin)
        except BaseException as error:
            recording.failed(error)
            self._tidy(recording.kept)
            raise
        recording.ended(done)
        self._store.end_writing()
        return result

    def _build(
        self,
        request: BuildRequest,
        references: tuple[Reference, ...],
        outputs: tuple[Asked, ...],
        events: Recording,
        stdin: BinaryIO | None,
    ) -> tuple[BuildResult, BuildDone]:
        from builder.engine.building import Build

        started = self._since = time.monotonic()
        built = Build(
            request,
            settings=self._settings,
            store=self._store,
            behind=self._behind,
            registries=lambda: self._registries,
            events=events,
            trail=events.trace,
            stdin=stdin,
            invocation=events.id,
        ).run()
        if request.provenance is not None:
            from builder.engine.claiming import claim

            claim(built, request.provenance, self._store)
        if _only_cached(outputs):
            references = ()
        self._name(references, built)
        results, said = self._deliver(references, outputs, built, events, claims=request.provenance)
        warnings = said
        if any(each.epoch is not None for each in built.images):
            from builder.engine.unset_times import times_kept

            warnings = (*warnings, *times_kept(built, outputs))
        if self._made is not None and not request.pull:
            warnings = (*warnings, *self._newer(request, results, built))
        for note in warnings[len(said) :]:
            events.emit(Warned(diagnostic=note))
        images = tuple([self._of_platform(each) for each in built.images])
        done = BuildDone(
            at=time.monotonic() - started,
            image_id=built.image.id,
            names=tuple(
                dict.fromkeys([each.familiar() for each in (*references, *names_given(results))])
            ),
            size=sum([each.size for each in images]),
            steps=built.steps,
            cached=built.cached,
            digest=last_digest(results),
        )
        events.emit(done)
        result = BuildResult(
            image_id=built.image.id,
            platforms=images,
            names=done.names,
            digest=last_digest([each for each in results if each.pushed]),
            size=done.size,
            steps=built.steps,
            cached=built.cached,
            seconds=done.at,
            warnings=(*built.warnings, *warnings),
            outputs=results,
            build=events.id,
        )
        if request.tell:
            from builder.engine.claiming import told

            provenance = told(built, request.tell, self._store)
            result = msgspec.structs.replace(result, provenance=provenance)
        return result, done

    def _newer(
        self,
        request: BuildRequest,
        results: tuple[OutputResult, ...],
        built: Built,
    ) -> tuple[Diagnostic, ...]:
        """Return which bases are newer in registries that were asked anyway."""
        from builder.engine.newer import asked_anyway, newer_bases

        sent = [name for each in results if each.pushed for name in each.names]
        asked = asked_anyway(request, sent)
        return newer_bases(built, asked, self._registries.client()) if asked else ()

    def provenance(self, image: str, platform: str | None = None) -> Claimed:
        """Return what an image is said to be made from: by its last build here, else by a registry.

        Raises: ImageError: nothing is said of it. RegistryError: it is nowhere.
        """
        from builder.engine.statements import claimed_here, claimed_in_registry

        wanted = platform_of(platform)
        found = None
        with suppress(ImageError):
            found = claimed_here(self._store, image, wanted)
        if found is None:
            reference = Reference.parse(image)
            client = self._registries.client()
            found = claimed_in_registry(client, reference, wanted or Platform.host())
        if found is None:
            raise ImageError(
                f"`{image}` says nothing of where it came from",
                code="image.not-found",
                notes=(
                    "neither its build here, nor its index, nor what refers to it has provenance",
                ),
                hint="build it with `--provenance`",
            )
        return found

    def verify(
        self, image: str, request: BuildRequest, events: EventSink, *, most: int = 1
    ) -> Verdict:
        """Build an image of the store again from its inputs, without the cache, and say in what it differs.

        Raises: ImageError: there is no such image. LapstrakeError: it cannot be built again.
        """
        from builder.engine.building import Build
        from builder.engine.statements import claimed_here, claimed_in_registry
        from builder.engine.verifying import verified

        platform = platform_of(request.platforms[0]) if request.platforms else None
        found, name = self._catalogue.meant(image, platform)
        told = claimed_here(self._store, image, platform)
        if told is None and name is not None and name.digest is not None:
            reference = Reference.parse(name.reference)
            with suppress(LapstrakeError):  # what is not to be had now is said by flags
                told = claimed_in_registry(self._registries.client(), reference, found.platform)

        # Other processes have stores of their own, which answer with what they have.
        settings = msgspec.structs.replace(self._settings, executor=LOCAL)

        def build(asked: BuildRequest) -> BuiltImage:
            return (
                Build(
                    asked,
                    settings=settings,
                    store=self._store,
                    behind=self._behind,
                    registries=lambda: self._registries,
                    events=events,
                    trail=lambda _: None,
                )
                .run()
                .main
            )

        predicate = None if told is None else told.predicate
        return verified(found, request, build, self._store, most=most, predicate=predicate)

    def _name(self, references: tuple[Reference, ...], built: Built) -> None:
        """Let names stand for what was built: for one image, or one of each platform."""
        for reference in references:
            if len(built.images) == 1:
                self._catalogue.name(reference, built.image.id)
            else:
                images = [
                    OfPlatform(platform=each.platform, image=each.image.id) for each in built.images
                ]
                self._catalogue.name_platforms(reference, images)

    def _of_platform(self, built: BuiltImage) -> PlatformImage:
        stored = self._store.images.get(built.image.id)
        size = stored.size if stored is not None else 0
        return PlatformImage(platform=str(built.platform), image_id=built.image.id, size=size)

    def _outputs(
        self, request: BuildRequest, references: tuple[Reference, ...]
    ) -> tuple[Asked, ...]:
        """Return what a build is to deliver; refuse before building what could not be delivered afterwards."""
        inline = any(cache.type == "inline" for cache in request.cache_to)
        if not (request.outputs or request.push or request.annotations or inline):
            return ()
        from builder.engine.destinations import destinations
        from builder.engine.targets import targets

        platforms = targets(request, self._settings) or (Platform.host(),)
        return destinations(request, references, platforms)

    def _deliver(
        self,
        references: tuple[Reference, ...],
        outputs: tuple[Asked, ...],
        built: Built,
        events: EventSink,
        *,
        claims: Provenance | None,
    ) -> tuple[tuple[OutputResult, ...], tuple[Diagnostic, ...]]:
        """Deliver as asked; return what came of it, and what is to be said."""
        if not outputs:
            return (), ()
        from builder.engine.delivery import Delivery, packed_images
        from builder.engine.registries import Stamped

        delivery = Delivery(
            packed_images(built, self._store),
            references,
            self._store,
            registries=lambda: self._registries,
            events=Stamped(events, self._since),
            records=built.records,
            claims=claims,
            cancelled=self._cancelled,
        )
        return delivery.deliver(outputs), delivery.warnings

    def _tidy(self, kept: tuple[str, ...]) -> None:
        """Keep no more of failed steps than is useful; what cannot be removed now is removed after another build."""
        if kept:
            from builder.store.kept import tidy

            with suppress(LapstrakeError):
                tidy(self._store)

    def debug(
        self,
        request: DebugRequest,
        streams: Streams,
        tell: Callable[[Diagnostic], None],
        *,
        signals: Forward | None = None,
    ) -> int:
        """Run a shell or a command where a step of a build ran; see `debugging.debug`."""
        from builder.engine import debugging

        if request.keep is not None:
            tag_of(request.keep)
        return debugging.debug(
            request,
            streams,
            tell,
            settings=self._settings,
            store=self._store,
            behind=self._behind,
            signals=signals,
        )

    def build_events(self, prefix: str = "") -> tuple[About, Iterator[Event]]:
        """Return the build whose id begins like this, the newest for "", and what happened in it.

        Raises: BuildError: `build.not-found`.
        """
        from builder.engine.recording import events_of

        about = self._store.builds.find(prefix)
        return about, events_of(self._store.builds, about.id)

    def call(self, request: CallRequest, stdin: BinaryIO | None = None) -> CallResult:
        """Answer a question about a Dockerfile, from wherever it comes; nothing is executed, no image pulled.

        Raises: LapstrakeError: it is not there, or as `calls.call`.
        """
        from builder.engine import calls
        from builder.engine.contexts import begun
        from builder.engine.named import NamedContexts
        from builder.engine.remotes import RemoteSources, secrets_of

        def config_of(reference: str, platform: Platform) -> ImageConfig | None:
            image = self._catalogue.by_reference(Reference.parse(reference), platform)
            return image.config if image is not None and image.platform.matches(platform) else None

        secrets = secrets_of(request.secrets)
        fetch = RemoteSources(self._settings, self._store, self._behind, secrets).fetch_silently
        named = NamedContexts(request.contexts, fetch)
        with begun(
            request,
            store=self._store,
            fetch=fetch,
            stdin=stdin,
            build_args=request.build_args,
        ) as beginning:
            return calls.call(request, beginning, config_of, named.kinds)

    def pull(self, reference: str, platform: str | None, events: EventSink) -> PullResult:
        """Fetch an image; see `Registries.pull`."""
        wanted = platform_of(platform)
        self._since = time.monotonic()
        names = self._registries.names(short_name(reference), Reference.parse(reference))
        where = self._registries.where(names)
        before = self._catalogue.standing(where)
        # What does not run here is pulled to be sent on.
        used = wanted is None or wanted.matches(Platform.host())
        result = self._registries.pull(where, wanted, events, unpack=used)
        return msgspec.structs.replace(result, newer=before != self._catalogue.standing(where))

    def tags_elsewhere(self, repository: str) -> tuple[str, ...]:
        """Return the names of all tags that a registry has in a repository."""
        reference = Reference.parse(repository)
        tags = self._registries.client().list_tags(reference)
        return tuple(reference.with_tag(tag).familiar() for tag in tags)

    def push(self, reference: str, events: EventSink, platform: str | None = None) -> PushResult:
        """Send what a name stands for here: one image, or an index of several platforms unless one is asked for.

        Raises: ImageError: there is no such name. UsageError: it names a digest. RegistryError: see `Registries.push`.
        """
        parsed = tag_of(reference)
        if self._store.images.name(parsed.canonical()) is None:
            raise ImageError(
                f"An image does not exist locally with the tag: {parsed.familiar_name}",
                code="image.not-found",
                notes=(f"`{parsed.familiar()}` was looked for; ids cannot be pushed",),
                hint="`lapstrake images` lists what is here, `lapstrake tag` gives it a name",
            )
        wanted = platform_of(platform)
        image, name = self._catalogue.meant(reference, wanted)

        def package(ready: Callable[[Descriptor], None]) -> Closure:
            from builder.engine.outgoing import outgoing

            named = name if wanted is None else None
            closure = outgoing(self._store, image.id, named, ready=ready, claims=True)
            sent.append(closure)
            return closure

        sent: list[Closure] = []
        self._since = time.monotonic()
        result = self._registries.push((parsed,), package, events)
        from builder.engine.claiming import beside

        for number, artifact in enumerate(beside(sent[0], parsed, self._store)):
            self._registries.attach(parsed, artifact, events, 2 + number)
        return result

    def run(
        self,
        request: RunRequest,
        streams: Streams,
        events: EventSink,
        *,
        signals: Forward | None = None,
    ) -> int:
        """Run a container in the foreground and return its command's exit code.

        While the command runs, `signals` reaches it.
        """
        from builder.engine import running

        return running.run(
            request,
            streams,
            events,
            store=self._store,
            behind=self._behind,
            registries=self._registries,
            signals=signals,
        )


def _trusting(settings: Settings, store: Store) -> Settings:
    """Return settings with one bundle of all that is trusted."""
    if not settings.ca_certs:
        return settings
    from builder.engine.trust import with_bundle

    return with_bundle(settings, store.snapshots.scratch())


def _only_cached(outputs: tuple[Asked, ...]) -> bool:
    """Tell whether nothing but the cache is to have the result."""
    return bool(outputs) and all(each.output.type == "cacheonly" for each in outputs)
